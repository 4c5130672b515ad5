"""The period, the account and the time zone that a page of figures is looked at in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest
from django.utils.http import urlencode

from analytics.models import Dashboard
from analytics.shown import Cell
from analytics.spans import (
    DEFAULT,
    NAMED,
    Period,
    PeriodNotAcceptable,
    TimeZoneUnknown,
    named_period,
    own_period,
)
from webhooks_project.accounts.models import Account
from webhooks_project.admin.access import may, may_everywhere, rows_for
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib import clock
from webhooks_project.lib.time_zones import time_zones

MAX_ACCOUNTS = 500  # that the page offers
_PAGES = {"subscription": "subscriptions.subscription", "source": "incoming.source"}


@dataclass(frozen=True)
class Look:
    """What a page shows, and how it was asked for."""

    period: Period
    account: Account | None  # None: of all that the user may look at
    accounts: list[Account]
    of_all: bool  # whether the user may look at every account's
    is_lost: bool = False  # the account asked for is not there, or not theirs

    @property
    def account_ids(self) -> list[UUID] | None:
        if self.account is not None:
            return [self.account.pk]
        if self.is_lost:
            return []
        return None if self.of_all else [account.pk for account in self.accounts]

    def query(self, **changes: str) -> str:
        """The query string of the same look, with changes."""
        asked: dict[str, str] = {}
        if self.period.name:
            asked["period"] = self.period.name
        else:
            asked["since"] = f"{self.period.local(self.period.since):%Y-%m-%dT%H:%M}"
            asked["until"] = f"{self.period.local(self.period.until):%Y-%m-%dT%H:%M}"
        asked["zone"] = self.period.time_zone
        if self.account is not None and len(self.accounts) > 1:
            asked["account"] = str(self.account.pk)
        if "period" in changes:
            asked.pop("since", None)
            asked.pop("until", None)
        return "?" + urlencode({**asked, **changes})

    def context(self) -> dict[str, Any]:
        """What the bar above the figures needs."""
        return {
            "look": self,
            "periods": [
                (name, title, self.query(period=name)) for name, (title, _) in NAMED.items()
            ],
            "zones": sorted(time_zones()),
            "since_text": f"{self.period.local(self.period.since):%Y-%m-%dT%H:%M}",
            "until_text": f"{self.period.local(self.period.until):%Y-%m-%dT%H:%M}",
        }


def look_of(request: HttpRequest, account: Account | None = None) -> Look:
    """What the request asks for; what it gets wrong is said, and the usual is shown.

    With an account the page is that account's.
    """
    given = request.GET
    of_all = may_everywhere(request, Dashboard, "view")
    accounts = (
        [account]
        if account is not None
        else list(rows_for(request, Account.objects.all(), "view", of=Dashboard)[:MAX_ACCOUNTS])
    )
    asked = "" if account is not None else given.get("account", "")
    chosen = account or _chosen(request, asked)
    if asked and chosen is None:
        messages.error(request, "There is no such account, or it is not yours to look at.")
    if chosen is None and len(accounts) == 1:
        chosen = accounts[0]
    is_lost = bool(asked) and chosen is None
    if chosen is not None and chosen not in accounts:
        accounts.insert(0, chosen)
    own = getattr(request.user, "time_zone", "")
    usual = own or (chosen.time_zone if chosen is not None else "") or "UTC"
    zone = given.get("zone") or usual
    if zone not in time_zones():
        messages.error(request, str(TimeZoneUnknown()))
        zone = usual
    return Look(_period(request, zone), chosen, accounts, of_all, is_lost)


def _period(request: HttpRequest, zone: str) -> Period:
    given = request.GET
    try:
        if given.get("since") or given.get("until"):
            since, until = (
                datetime.fromisoformat(given.get(name, "")) for name in ("since", "until")
            )
            return own_period(since, until, time_zone=zone)
        return named_period(given.get("period") or DEFAULT, now=clock.now(), time_zone=zone)
    except PeriodNotAcceptable as error:
        messages.error(request, str(error))
    except ValueError:
        messages.error(request, "Give both ends, such as 2026-01-31 12:00.")
    return named_period(DEFAULT, now=clock.now(), time_zone=zone)


def _chosen(request: HttpRequest, text: str) -> Account | None:
    """The account of that id, where the user may look at it."""
    try:
        key = UUID(text)
    except ValueError:
        return None
    found: Account | None = (
        rows_for(request, Account.objects.all(), "view", of=Dashboard).filter(pk=key).first()
    )
    return found


def link_of(request: HttpRequest) -> Any:
    """Where a cell of a table leads: to the page of the endpoint or source that it names."""
    allowed = {name: may(request, _model(model), "view") for name, model in _PAGES.items()}

    def link(cell: Cell) -> str:
        if cell.key is None or not cell.key.value or not allowed.get(cell.key.dimension):
            return ""
        if cell.key.name.startswith("deleted ("):
            return ""
        return page_of(_PAGES[cell.key.dimension], cell.key.value)

    return link


def _model(label: str) -> Any:
    from django.apps import apps

    return apps.get_model(label)


__all__ = ["Look", "link_of", "list_of", "look_of"]
