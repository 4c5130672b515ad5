"""Which subscriptions of an account a job, or an export, is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Those with all of these marks. Archived ones are among them only where `statuses` says so.

    `event_type` is a name or wildcard exactly as it is subscribed; `url_contains` is a part of the
    URL; `labels` and `metadata` are texts by name that each must have.
    """

    statuses: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    event_type: str = ""
    url_contains: str = ""
    ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Selection:
        """The selection that these values, as in the API, describe."""
        given = {name: value for name, value in values.items() if value}
        for name in ("statuses", "ids"):
            if name in given:
                given[name] = tuple(dict.fromkeys(str(item) for item in given[name]))
        return cls(**given)

    def as_json(self) -> dict[str, Any]:
        """What was asked for, without what was not."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value
        }

    def ids_in(self, account: Account, limit: int) -> list[UUID]:
        """The ids of the first subscriptions that fit, the oldest first."""
        rows = Subscription.objects.filter(account=account)
        if self.statuses:
            rows = rows.filter(status__in=self.statuses)
        else:
            rows = rows.exclude(status=Subscription.Status.ARCHIVED)
        if self.ids:
            rows = rows.filter(pk__in=self.ids)
        if self.event_type:
            rows = rows.filter(patterns__pattern=self.event_type)
        found = []
        # What JSON columns can be asked differs from database to database, and SQLite takes
        # capitals and small letters for the same: the rest is decided here.
        wanted = rows.order_by("created_at", "pk").only("url", "labels", "metadata")
        for row in wanted.iterator(chunk_size=2000):
            if self._fits(row):
                found.append(row.pk)
                if len(found) == limit:
                    break
        return found

    def _fits(self, row: Subscription) -> bool:
        return (
            self.url_contains in row.url
            and _has(row.labels, self.labels.items())
            and _has(row.metadata, self.metadata.items())
        )


def _has(facts: Mapping[str, str], wanted: Iterable[tuple[str, str]]) -> bool:
    return all(facts.get(name) == text for name, text in wanted)
