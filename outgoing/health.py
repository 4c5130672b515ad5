"""Looking now and then whether endpoints are there: a HEAD, signed by nobody, that says nothing.

Any whole answer counts, whatever its status: it is not asked what a delivery would be answered.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog
from django.db import transaction

from outgoing.probes import in_words, send_all
from subscriptions.models import Subscription
from webhooks_project.lib import clock
from webhooks_project.lib.outbound import Request, Response

log = structlog.get_logger(__name__)

EVERY: Final = timedelta(minutes=15)
AT_ONCE: Final = 64
SECONDS: Final = 10.0  # for one answer, and for all of one turn's


def run_due_health_checks() -> int:
    """Look at the endpoints whose time it is, and note what was found. Returns how many."""
    due = _take_due()
    responses = send_all(
        {
            row: Request(url=row.url, headers=[], body=b"", timeout_seconds=SECONDS, is_head=True)
            for row in due
        },
        seconds=SECONDS,
    )
    for row, response in responses.items():
        _note(row, response)
    return len(due)


@transaction.atomic
def _take_due() -> list[Subscription]:
    """Those that are due, the longest first; none of them is due again before its next time."""
    now = clock.now()
    due = Subscription.objects.filter(
        status=Subscription.Status.ACTIVE, checks_health=True, health_check_due_at__lte=now
    )
    if not due.exists():
        return []
    rows = list(
        due.order_by("health_check_due_at")
        .select_for_update(skip_locked=True)
        .only("id", "url", "name", "account_id", "health_problem")[:AT_ONCE]
    )
    Subscription.objects.filter(pk__in=[row.pk for row in rows]).update(
        health_check_due_at=now + EVERY
    )
    return rows


def _note(row: Subscription, response: Response) -> None:
    problem = in_words(response)[:200] if response.failure is not None else ""
    found = {"health_checked_at": clock.now(), "health_problem": problem}
    if response.certificate_expires_at is not None:
        found["certificate_expires_at"] = response.certificate_expires_at
    Subscription.objects.filter(pk=row.pk).update(**found)
    if problem != row.health_problem:
        log.info(
            "endpoint is not there" if problem else "endpoint is there again",
            subscription_id=str(row.pk),
            problem=problem,
        )
