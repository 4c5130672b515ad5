"""The circuit breaker as the API shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from subscriptions.models import Subscription
from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_subscription

pytestmark = pytest.mark.django_db

SINCE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_a_subscription_says_how_its_breaker_stands_and_nobody_sets_it() -> None:
    account = make_account()
    api = Api(make_api_key(account).text)
    subscription = make_subscription(account)
    Subscription.objects.update(breaker="open", breaker_changed_at=SINCE, is_limited=True)
    shown = api.get(f"subscriptions/{subscription.pk}").json
    assert (shown["breaker"], shown["breaker_changed_at"]) == ("open", "2026-03-04T05:06:07Z")
    api.patch(f"subscriptions/{subscription.pk}", {"name": "Another", "breaker": "closed"})
    stored = Subscription.objects.get()
    assert (stored.breaker, stored.is_limited) == ("open", True)


def test_an_account_lists_its_subscriptions_by_their_breaker() -> None:
    account = make_account()
    api = Api(make_api_key(account).text)
    for owner, name, breaker in (
        (account, "works", "closed"),
        (account, "fails", "open"),
        (account, "is tried", "half_open"),
        (make_account(), "another's", "open"),
    ):
        make_subscription(owner, name=name, breaker=breaker)
    for breaker, names in (("open", ["fails"]), ("half_open", ["is tried"]), ("closed", ["works"])):
        rows = api.get(f"subscriptions?breaker={breaker}").rows
        assert [row["name"] for row in rows] == names
    assert api.get("subscriptions?breaker=ajar").status == 400
