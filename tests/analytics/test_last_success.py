"""When attempts last succeeded, from the newest rollups back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics.last_success import last_successes
from analytics.models import Scope
from analytics.periods import Grain
from tests.factories import make_rollup, make_subscription

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
BY_DAY: dict[str, Any] = {"scope": Scope.SUBSCRIPTION, "grain": Grain.DAY}
BY_HOUR: dict[str, Any] = {"scope": Scope.SUBSCRIPTION, "grain": Grain.HOUR}
FAILED: dict[str, Any] = {"cause": "dns", "status_class": ""}


def test_it_is_the_latest_of_the_finest_that_is_kept(django_assert_num_queries: Any) -> None:
    lately, once, never, unused = (make_subscription() for _ in range(4))
    midnight = NOON.replace(hour=0)
    for days in (0, 1, 300):
        make_rollup(lately, midnight - timedelta(days=days), **BY_DAY)
    make_rollup(lately, NOON - timedelta(hours=1), **BY_HOUR)
    make_rollup(lately, NOON - timedelta(minutes=7))
    make_rollup(lately, NOON, **FAILED)
    make_rollup(once, midnight - timedelta(days=300), **BY_DAY)
    make_rollup(once, midnight, **BY_DAY, **FAILED)
    make_rollup(never, midnight, **BY_DAY, **FAILED)
    wanted = [row.pk for row in (lately, once, never, unused)]
    with django_assert_num_queries(1) as captured:
        found = last_successes(wanted)
    assert found == {
        lately.pk: NOON - timedelta(minutes=7),
        once.pk: midnight - timedelta(days=300),
    }
    # Of each grain no more than one row of each subscription is read.
    assert captured[0]["sql"].count("LIMIT 1") == 3
    assert last_successes([never.pk]) == {}
    assert last_successes([]) == {}
