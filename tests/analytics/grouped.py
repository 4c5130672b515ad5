"""What attempts and calls there were of each endpoint and source in a period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from hypothesis import settings

from outgoing.models import Attempt
from tests.analytics.recomputing import QUICK


def quickly(max_examples: int) -> settings:
    """So many histories of the hub, each made in the database."""
    return settings(max_examples=max_examples, deadline=None, database=None, phases=QUICK)


def within(
    rows: Iterable[Any],
    since: datetime,
    until: datetime,
    account_ids: Collection[Any] | None = None,
) -> dict[Any, list[Any]]:
    """Attempts by subscription, calls by source: of these accounts, or of all."""
    found: dict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        is_attempt = isinstance(row, Attempt)
        moment, of = (row.started_at, row.delivery) if is_attempt else (row.at, row.source)
        if since <= moment < until and (account_ids is None or of.account_id in account_ids):
            found[of.subscription_id if is_attempt else of.pk].append(row)
    return found
