"""What a subscription may be."""

from __future__ import annotations

from typing import Any

import pytest

from subscriptions.errors import SubscriptionNotAcceptable
from subscriptions.models import Subscription
from subscriptions.services import change_subscription
from tests.factories import make_subscription

pytestmark = pytest.mark.django_db

WINDOW = {"from": "08:00", "until": "18:00"}


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"team": "billing"}, "labels": {"env": "live"}},
        {"channels": ["eu/west", "a.b:c"]},
        {"filter": {"data.amount": {"$gte": 100}}},
        {"filter": {}},
        {"transformation": "data.amount * 2"},
        {"variables": {"channel": "#paid", "long": "x" * 1000}},
        {"schema_versions": {"order.made": 2}},
        {"rate_limit": 10, "rate_period": "hour"},
        {"ordering": "strict", "order_key": "data.customer.id"},
        {"ordering": "strict"},
        {"batch_size": 100, "batch_seconds": 30},
        {"retry_policy": "custom", "retry_schedule": [1, 60]},
        {
            "retry_policy": "custom",
            "retry_schedule": {"kind": "linear", "base": 1, "step": 1, "attempts": 3},
        },
        {"retry_max_age_seconds": 1},
        {"retry_max_age_seconds": 90 * 86_400},
        {"retry_statuses": "500-599,429,!501"},
        {"delivery_window": WINDOW},
        {"payload_form": "cloudevents_binary"},
    ],
)
def test_takes(fields: dict[str, Any]) -> None:
    subscription = make_subscription()
    change_subscription(subscription=subscription, **fields)
    stored = Subscription.objects.get()
    assert {name: getattr(stored, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("fields", "path", "code"),
    [
        ({"metadata": []}, "/metadata", "not_a_mapping"),
        ({"metadata": {"a": 1}}, "/metadata/a", "invalid_text"),
        ({"metadata": {"": "a"}}, "/metadata/", "invalid_name"),
        ({"metadata": {"a": "\x00"}}, "/metadata", "null_characters_not_allowed"),
        ({"labels": {str(n): "a" for n in range(51)}}, "/labels", "too_many"),
        ({"channels": ["a b"]}, "/channels/0", "invalid_channel"),
        ({"channels": ["a", "a"]}, "/channels", "repeated"),
        ({"channels": "a"}, "/channels", "not_a_list"),
        ({"filter": []}, "/filter", "not_an_object"),
        ({"filter": {"data.a": {"$gtx": 1}}}, "/filter/data.a/$gtx", "unknown_operator"),
        ({"filter": {"dta.a": 1}}, "/filter/dta.a", "unknown_root"),
        ({"filter": {"$or": [{"a": 1}]}}, "/filter/$or/0/a", "unknown_root"),
        ({"filter": {"data.a": {"$regex": "("}}}, "/filter/data.a/$regex", "bad_regex"),
        ({"transformation": "data.("}, "/transformation", "syntax"),
        ({"variables": ["a"]}, "/variables", "not_a_mapping"),
        ({"variables": {"a": 1}}, "/variables/a", "invalid_text"),
        ({"variables": {"a": "x" * 1001}}, "/variables/a", "invalid_text"),
        ({"variables": {str(n): "a" for n in range(51)}}, "/variables", "too_many"),
        ({"schema_versions": {"a b": 1}}, "/schema_versions/a b", "event_type_malformed"),
        ({"schema_versions": {"a": 0}}, "/schema_versions/a", "out_of_range"),
        ({"schema_versions": {"a": True}}, "/schema_versions/a", "out_of_range"),
        ({"timeout_seconds": 61}, "/timeout_seconds", "out_of_range"),
        ({"max_in_flight": 0}, "/max_in_flight", "out_of_range"),
        ({"rate_limit": 0}, "/rate_limit", "out_of_range"),
        ({"rate_period": "day"}, "/rate_period", "invalid_choice"),
        ({"order_key": "data.a"}, "/order_key", "not_ordered"),
        ({"ordering": "strict", "order_key": "data..a"}, "/order_key", "bad_path"),
        ({"ordering": "strict", "order_key": "a"}, "/order_key", "unknown_root"),
        ({"batch_size": 0}, "/batch_size", "out_of_range"),
        ({"batch_seconds": 3601}, "/batch_seconds", "out_of_range"),
        (
            {"batch_size": 2, "payload_form": "cloudevents_binary"},
            "/batch_size",
            "no_batches",
        ),
        ({"retry_policy": "custom"}, "/retry_schedule", "required"),
        ({"retry_schedule": [5]}, "/retry_schedule", "not_custom"),
        ({"retry_policy": "custom", "retry_schedule": [0]}, "/retry_schedule/0", "out_of_range"),
        ({"retry_policy": "custom", "retry_schedule": [1.5]}, "/retry_schedule/0", "out_of_range"),
        (
            {"retry_policy": "custom", "retry_schedule": {"kind": "linear", "base": 1, "step": 1}},
            "/retry_schedule/attempts",
            "required",
        ),
        ({"retry_schedule": {"kind": "chance"}}, "/retry_schedule/kind", "unknown_kind"),
        ({"retry_max_age_seconds": 0}, "/retry_max_age_seconds", "out_of_range"),
        ({"retry_max_age_seconds": 90 * 86_400 + 1}, "/retry_max_age_seconds", "out_of_range"),
        ({"retry_statuses": "5xx"}, "/retry_statuses", "invalid_statuses"),
        ({"delivery_window": {"from": "8"}}, "/delivery_window", "invalid_window"),
        ({"delivery_window": []}, "/delivery_window", "invalid_window"),
        ({"payload_form": "xml"}, "/payload_form", "invalid_choice"),
    ],
)
def test_refuses(fields: dict[str, Any], path: str, code: str) -> None:
    subscription = make_subscription()
    with pytest.raises(SubscriptionNotAcceptable) as caught:
        change_subscription(subscription=subscription, **fields)
    errors: Any = caught.value.extra["errors"]
    assert (errors[0]["path"], errors[0]["code"]) == (path, code)
    stored = Subscription.objects.get()
    assert all(getattr(stored, name) != value for name, value in fields.items() if name in path)
