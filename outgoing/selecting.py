"""Which events and deliveries are meant, as people say it: by time, type, account and so on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet

from outgoing.errors import SelectionNotAcceptable
from outgoing.models import Delivery, Event, Replay
from outgoing.services import facts_of
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.jobs import behind, type_condition
from webhooks_project.lib import clock
from webhooks_project.lib.filters import Filter, FilterNotAcceptable, compile_filter

SCAN_ROWS: Final = 500  # looked at together where each event's data is asked
CHUNK_ROWS: Final = 20  # in memory at once of those: data may be large
BODY_COLUMNS: Final = ("type", "data", "channels", "metadata", "headers", "schema_version")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Events created in `[since, until)` with these marks, and deliveries of them; empty for any.

    `event_type` is a type, or a beginning of one with `*` after it. `filter` is asked of the event
    as subscriptions' filters are. `statuses` are those of deliveries.
    """

    since: datetime | None = None
    until: datetime | None = None
    account: Account | None = None
    event_type: str = ""
    subscription: Subscription | None = None
    statuses: Sequence[str] = ()
    channel: str = ""
    filter: Any = None

    @classmethod
    def of(cls, replay: Replay) -> Selection:
        """What this job was asked for."""
        return cls(**{item.name: getattr(replay, item.name) for item in fields(cls)})

    def checked(self) -> Selection:
        """The same with its subscription's account, and nothing of what is yet to come.

        Raises SelectionNotAcceptable, naming the `field`.
        """
        now = clock.now()
        until = min(self.until or now, now)
        if self.since is not None and self.since >= until:
            raise SelectionNotAcceptable(
                "since must be before until, and in the past", field="since"
            )
        account = self.account or (self.subscription.account if self.subscription else None)
        if self.subscription is not None and self.subscription.account != account:
            raise SelectionNotAcceptable(
                "the subscription is another account's", field="subscription"
            )
        if "*" in self.event_type[:-1]:
            raise SelectionNotAcceptable("a * stands only at the end", field="event_type")
        for name in self.statuses:
            if name not in Delivery.Status.values:
                raise SelectionNotAcceptable(f"{name!r} is no status", field="statuses")
        if self.filter is not None:
            try:
                compile_filter(self.filter)
            except FilterNotAcceptable as error:
                raise SelectionNotAcceptable(
                    f"the filter: {error}", field="filter", **error.extra
                ) from error
        return replace(self, until=until, account=account, statuses=sorted(set(self.statuses)))

    @property
    def of_events(self) -> Q:
        """Of the events, as far as the database can tell."""
        return self._of_events("")

    @property
    def of_deliveries(self) -> Q:
        """Of the deliveries, as far as the database can tell."""
        wanted = self._of_events("event__")
        if self.account is not None:
            wanted &= Q(account=self.account)
        if self.subscription is not None:
            wanted &= Q(subscription=self.subscription)
        if self.statuses:
            wanted &= Q(status__in=list(self.statuses))
        return wanted

    def _of_events(self, path: str) -> Q:
        wanted = type_condition(f"{path}type", self.event_type)
        if self.since is not None:
            wanted &= Q(**{f"{path}created_at__gte": self.since})
        if self.until is not None:
            wanted &= Q(**{f"{path}created_at__lt": self.until})
        if self.account is not None:
            wanted &= Q(**{f"{path}account": self.account})
        return wanted

    @property
    def is_scanned(self) -> bool:
        """Whether each event itself must be asked, and not the database alone."""
        return bool(self.channel) or self.filter is not None

    @cached_property
    def _compiled(self) -> Filter | None:
        return None if self.filter is None else compile_filter(self.filter)

    def wants(self, event: Event) -> bool:
        """Whether the event is meant, as far as only it can tell."""
        if self.channel and self.channel not in event.channels:
            return False
        return self._compiled is None or self._compiled.matches(facts_of(event).document)


@dataclass(frozen=True, slots=True)
class Page:
    """The keys of those that are meant, and the last row that was looked at: None at the end."""

    keys: Sequence[UUID]
    last: tuple[datetime, UUID] | None


def page_of_deliveries(
    selection: Selection,
    rows: QuerySet[Delivery],
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> Page:
    """The next of the deliveries that are meant, at most `limit`, the oldest event's first.

    Where the events themselves are asked, at most SCAN_ROWS are: then a page may be empty and not
    the last.
    """
    found = rows.filter(
        selection.of_deliveries, behind("event__created_at", *(after or (None,) * 2))
    )
    return _page(
        selection, found.order_by("event__created_at", "pk"), "event__created_at", limit,
        lambda queryset: queryset.select_related("event").only(
            "pk", "event__created_at", *(f"event__{name}" for name in BODY_COLUMNS)
        ),
        lambda delivery: delivery.event,
    )  # fmt: skip


def page_of_events(
    selection: Selection,
    rows: QuerySet[Event],
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> Page:
    """The same for events."""
    found = rows.filter(selection.of_events, behind("created_at", *(after or (None,) * 2)))
    return _page(
        selection, found.order_by("created_at", "pk"), "created_at", limit,
        lambda queryset: queryset.only("pk", "created_at", *BODY_COLUMNS),
        lambda event: event,
    )  # fmt: skip


def _page(
    selection: Selection,
    rows: QuerySet[Any],
    column: str,
    limit: int,
    with_events: Callable[[QuerySet[Any]], QuerySet[Any]],
    event_of: Callable[[Any], Event],
) -> Page:
    if not selection.is_scanned:
        found = list(rows.values_list("pk", column)[:limit])
        return Page([pk for pk, _ in found], (found[-1][1], found[-1][0]) if found else None)
    keys: list[UUID] = []
    last = None
    for row in with_events(rows)[:SCAN_ROWS].iterator(chunk_size=CHUNK_ROWS):
        event = event_of(row)
        last = (event.created_at, row.pk)
        if selection.wants(event):
            keys.append(row.pk)
            if len(keys) == limit:
                break
    return Page(keys, last)


def pages_of_deliveries(
    selection: Selection, rows: QuerySet[Delivery], *, limit: int
) -> Iterator[Sequence[UUID]]:
    """Page after page, to the end; one may be empty. What is done with one may change which the
    next are."""
    after = None
    while True:
        page = page_of_deliveries(selection, rows.all(), after=after, limit=limit)
        if page.last is None:
            return
        after = page.last
        yield page.keys


def pages_of_events(
    selection: Selection, rows: QuerySet[Event], *, limit: int
) -> Iterator[Sequence[UUID]]:
    """The same for events."""
    after = None
    while True:
        page = page_of_events(selection, rows.all(), after=after, limit=limit)
        if page.last is None:
            return
        after = page.last
        yield page.keys


def wanted_by_replays(before: datetime, accounts: Collection[UUID]) -> list[Selection]:
    """What jobs that run want of events older than that, as conditions that pruning leaves out."""
    jobs = Replay.objects.filter(
        Q(account=None) | Q(account__in=accounts),
        status=Replay.Status.RUNNING,
        since__lt=before,
    ).select_related("account", "subscription")
    return [Selection.of(replay) for replay in jobs]
