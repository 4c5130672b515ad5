"""What claimed work goes through before it stands in line: the way back to the schema version that
its subscription stays with, the transformation, the batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from outgoing.endpoints import Endpoint, Endpoints
from outgoing.lines import Work
from outgoing.payload import Message
from outgoing.shaping import Shaper
from subscriptions.versions import Downgrades, downgrades_of, steps_down

BATCH_BYTES: Final = 4 * 1024 * 1024  # of data in one POST; a batch with more is split


@dataclass(slots=True)
class Prepared:
    """POSTs that are ready for their line, and what none comes of: with why, or nothing to send."""

    ready: list[Work] = field(default_factory=list)
    failed: list[tuple[Work, str]] = field(default_factory=list)
    nothing: list[Work] = field(default_factory=list)


class Preparation:
    """The work of one pump on its way from the claim to a line.

    `has_data` reads what is not read yet of a message, and is False where it is gone.
    """

    def __init__(self, endpoints: Endpoints, has_data: Callable[[Work], bool]) -> None:
        self._endpoints = endpoints
        self._has_data = has_data
        self._shaper = Shaper()
        self._shaped: dict[UUID, list[Work]] = {}  # on the way to their batch

    @property
    def is_pending(self) -> bool:
        """Whether something is being computed."""
        return self._shaper.pending > 0

    def prepare(self, works: Sequence[Work]) -> Prepared:
        """What needs nothing computed, ready; all other comes with a later `collect`."""
        prepared = Prepared()
        downgrades = _downgrades(works)
        to_shape: list[Work] = []
        plain: list[Work] = []
        for work in works:
            endpoint = work.endpoint
            steps = _steps_down(endpoint, work.message, downgrades)
            if steps is None:
                prepared.failed.append((work, "no way back to the pinned schema version"))
                continue
            work.shape = replace(endpoint.shape, downgrades=steps) if steps else endpoint.shape
            (to_shape if work.shape.is_computed else plain).append(work)
        # Before anything stands in line: the database may fail, and all of the claim be forgotten.
        to_shape = [work for work in to_shape if self._has_data(work)]
        prepared.ready = self._batched(plain)
        self._shaper.submit(to_shape)
        return prepared

    def collect(self) -> Prepared:
        """What was computed since the last time. Of those that may fill a batch yet, some wait."""
        prepared = Prepared()
        for shaped in self._shaper.collect():
            if shaped.failure:
                prepared.failed.append((shaped.work, shaped.failure))
            elif shaped.is_nothing:
                prepared.nothing.append(shaped.work)
            else:
                self._shaped.setdefault(shaped.work.claim.subscription_id, []).append(shaped.work)
        for key, works in list(self._shaped.items()):
            count = len(works)
            if self._shaper.pending_of(key):
                count -= count % self._endpoints.get(key).batch_size
            self._shaped[key] = works[count:]
            if not self._shaped[key]:
                del self._shaped[key]
            prepared.ready += self._batched(works[:count])
        return prepared

    def waiting_posts(self, subscription_id: UUID) -> int:
        """How many POSTs what is on its way of a subscription makes at least."""
        rows = self._shaper.pending_of(subscription_id) + len(self._shaped.get(subscription_id, ()))
        batch_size = self._endpoints.get(subscription_id).batch_size if rows else 1
        return -(-rows // batch_size)

    def full(self) -> list[UUID]:
        """Subscriptions with so much to compute that no more should be claimed."""
        return self._shaper.full()

    def drain(self) -> list[Work]:
        """Take out all of it."""
        shaped = [work for works in self._shaped.values() for work in works]
        self._shaped.clear()
        return [*self._shaper.drain(), *shaped]

    def close(self) -> None:
        """End the thread that computes."""
        self._shaper.close()

    def _batched(self, works: Sequence[Work]) -> list[Work]:
        """The same work, those of one subscription together where it takes batches.

        Of so many bytes at most, save where one alone has more.
        """
        groups: dict[UUID, list[Work]] = {}
        rest: list[Work] = []
        sizes: Counter[UUID] = Counter()
        for work in works:
            endpoint = work.endpoint
            if endpoint.batch_size == 1 or not work.is_limited:
                rest.append(work)
                continue
            key = work.claim.subscription_id
            size = work.message.bytes_for(work.shape)
            if key in groups and sizes[key] + size > BATCH_BYTES:
                rest.append(as_one(groups.pop(key)))
            if key not in groups:
                groups[key] = []
                sizes[key] = 0
            groups[key].append(work)
            sizes[key] += size
            if len(groups[key]) == endpoint.batch_size:
                rest.append(as_one(groups.pop(key)))
        return [*rest, *map(as_one, groups.values())]


def as_one(works: Sequence[Work]) -> Work:
    """Several as one POST; also a single one, so that the body of a batch is always a list."""
    first, *others = works
    first.batched = others
    first.is_batch = True
    return first


def _downgrades(works: Collection[Work]) -> dict[tuple[UUID, str], dict[int, str]]:
    pinned: dict[UUID, set[str]] = {}
    for work in works:
        endpoint = work.endpoint
        if work.message.type in endpoint.schema_versions:
            pinned.setdefault(endpoint.account_id, set()).add(work.message.type)
    return downgrades_of(pinned) if pinned else {}


def _steps_down(
    endpoint: Endpoint, message: Message, downgrades: Mapping[tuple[UUID, str], Downgrades]
) -> tuple[str, ...] | None:
    """What brings the event's data to the major version that the subscription stays with.

    None where there is no way to it.
    """
    pinned = endpoint.schema_versions.get(message.type)
    if pinned is None or not message.schema_version:
        return ()
    major = int(message.schema_version.partition(".")[0])
    known = downgrades.get((endpoint.account_id, message.type), {})
    steps = steps_down(known, major=major, to=pinned)
    return None if steps is None else tuple(steps)
