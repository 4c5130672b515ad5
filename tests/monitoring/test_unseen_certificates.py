"""The end of a certificate that nobody looks at any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring.evaluating import evaluate_health
from monitoring.models import HealthCheck, Incident, Notification
from monitoring.wording import text_of
from subscriptions.models import Subscription
from tests.factories import make_incident, make_subscription
from tests.monitoring.receivers import resolve
from webhooks_project.accounts.models import Account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]

NOW = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
END = NOW + 10 * DAY


def step(at: datetime) -> dict[str, str]:
    moment = at.isoformat().replace("+00:00", "Z")
    return {"step": "certificate", "outcome": "ok", "detail": "", "at": moment}


def make_shop(account: Account, **fields: Any) -> Subscription:
    """One whose certificate ends in ten days, and was seen now by its set-up."""
    known = {"checks_health": False, "certificate_expires_at": END, "setup": [step(NOW)]}
    return make_subscription(account, **{"name": "Shop", **known, **fields})


def look_at(clock: Any, moment: datetime) -> None:
    """Twice, so that a worse or a better state is taken."""
    for at in (moment, moment + 6 * MINUTE):
        clock.move_to(at)
        evaluate_health()


def ends() -> dict[str, str]:
    found: dict[str, str] = HealthCheck.objects.get().figures["ends"]
    return found


def test_is_left_out_once_it_was_not_seen_for_seven_days(account: Account, clock: Any) -> None:
    make_shop(account)
    look_at(clock, NOW + 6 * DAY)
    assert ends() == {"certificate": END.isoformat()}
    assert HealthCheck.objects.get().state == "degraded"
    incident = Incident.objects.get()
    assert (incident.kind, incident.cause, incident.status) == ("expiring", "certificate", "open")
    look_at(clock, NOW + 7 * DAY)
    assert ends() == {}
    assert HealthCheck.objects.get().state == "unknown"  # nothing was sent to it
    incident.refresh_from_db()
    assert (incident.status, incident.resolution) == ("resolved", "gone")
    assert incident.resolved_at == NOW + 7 * DAY
    said = incident.entries.filter(kind="resolved").values_list("text", flat=True)
    assert list(said) == [
        "Its certificate was not seen for 7 days: whether it was renewed is not known."
    ]
    told = Notification.objects.get(incident=incident, moment="resolved")
    assert told.title == "Closed, not recovered: The certificate of Shop ends on 2026-03-14"
    look_at(clock, NOW + 11 * DAY)  # it has ended, as far as was seen
    assert Incident.objects.count() == 1


@pytest.mark.parametrize(
    ("kind", "cause", "why"),
    [
        ("expiring", "certificate", ", or its certificate was not seen for long"),
        ("expiring", "subscription", ""),
        ("endpoint_failing", "certificate", ""),
    ],
)
def test_the_mail_that_closes_it_says_that_it_was_not_seen(kind: str, cause: str, why: str) -> None:
    incident = make_incident(kind=kind, cause=cause, text="It ends on 2026-03-14 12:00 UTC.")
    resolve(incident, NOW + 7 * DAY, "gone")
    assert text_of(incident, "resolved", None) == (
        "It was open from 2026-03-04 12:00 UTC to 2026-03-11 12:00 UTC (168 h 0 min) and is closed,"
        " not recovered: what it is about, or the rule that opened it, is not active any more"
        f"{why}.\nIt ends on 2026-03-14 12:00 UTC."
    )


def test_the_mail_of_a_certificate_that_is_seen_to_be_renewed_says_nothing_of_it() -> None:
    incident = make_incident(kind="expiring", cause="certificate", text="It ends.")
    resolve(incident, NOW + 7 * DAY)
    assert text_of(incident, "resolved", None) == (
        "It was open from 2026-03-04 12:00 UTC to 2026-03-11 12:00 UTC (168 h 0 min)"
        " and is resolved.\nIt ends."
    )


def test_is_told_again_once_it_is_seen_again(account: Account, clock: Any) -> None:
    make_shop(account, setup=[step(NOW - 7 * DAY)])
    look_at(clock, NOW)
    assert (ends(), Incident.objects.count()) == ({}, 0)
    Subscription.objects.update(setup=[step(NOW)])
    look_at(clock, NOW + 10 * MINUTE)
    assert ends() == {"certificate": END.isoformat()}
    assert Incident.objects.get().status == "open"


def test_a_check_has_seen_it_too(account: Account, clock: Any) -> None:
    make_shop(
        account,
        setup=[step(NOW - 80 * DAY)],
        health_checked_at=NOW - 6 * DAY,
        health_check_result={"certificate_expires_at": END.isoformat()},
    )
    look_at(clock, NOW)
    assert ends() == {"certificate": END.isoformat()}


def test_stays_where_it_is_looked_at_and_is_down(account: Account, clock: Any) -> None:
    make_shop(
        account,
        checks_health=True,
        setup=[step(NOW - 80 * DAY)],
        health_checked_at=NOW,
        health_problem="no connection",
        health_check_failures=900,
        health_check_result={"certificate_expires_at": None},
    )
    look_at(clock, NOW)
    assert ends() == {"certificate": END.isoformat()}
    assert Incident.objects.get(kind="expiring").status == "open"


def test_its_other_ends_are_told_as_before(account: Account, clock: Any) -> None:
    make_shop(account, expires_at=NOW + 9 * DAY, setup=[step(NOW - 6 * DAY)])
    look_at(clock, NOW)
    assert Incident.objects.filter(status="open").count() == 2
    look_at(clock, NOW + DAY)
    found = {row.cause: (row.status, row.resolution) for row in Incident.objects.all()}
    assert found == {"subscription": ("open", ""), "certificate": ("resolved", "gone")}


def test_what_was_seen_is_read_of_those_alone_that_nobody_looks_at(
    account: Account, clock: Any
) -> None:
    shop = make_shop(account)
    make_shop(account, checks_health=True)
    make_shop(account, certificate_expires_at=None)
    with CaptureQueriesContext(connection) as queries:
        evaluate_health()
    [query] = [item["sql"] for item in queries if '"health_check_result"' in item["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(query)
        assert len(cursor.fetchall()) == 1
    assert HealthCheck.objects.get(subscription=shop).figures["ends"] != {}
