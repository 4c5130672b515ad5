from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from monitoring.models import AuditEntry
from subscriptions import endpoints, services
from subscriptions.errors import EndpointNotAcceptable, EventTypeMalformed
from subscriptions.models import SigningSecret, SubscribedType, Subscription
from subscriptions.services import create_subscription
from tests.factories import SIGNING_SECRET, make_account
from webhooks_project.lib.signing import key_of

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:8009/hook"


def nothing_was_written() -> bool:
    return not (
        Subscription.objects.exists()
        or SubscribedType.objects.exists()
        or SigningSecret.objects.exists()
        or AuditEntry.objects.exists()
    )


def test_makes_an_active_subscription_with_a_secret_of_its_own() -> None:
    account = make_account()
    made = create_subscription(
        account=account, name="Shop", url=URL, event_types=["b.*", "a", "a"], description="d"
    )
    subscription = Subscription.objects.get()
    assert subscription == made.subscription
    assert subscription.account == account
    assert (subscription.name, subscription.url, subscription.description) == ("Shop", URL, "d")
    assert subscription.status == Subscription.Status.ACTIVE
    assert (subscription.timeout_seconds, subscription.max_in_flight) == (15, None)
    assert subscription.event_types == ["a", "b.*"]
    assert SigningSecret.objects.get().secret == made.secret
    assert len(key_of(made.secret)) == 32


def test_shows_its_secret_nowhere_but_in_the_result() -> None:
    made = create_subscription(account=make_account(), name="x", url=URL, event_types=["*"])
    assert made.secret not in repr(made)
    entry = AuditEntry.objects.get()
    assert made.secret not in entry.after
    assert key_of(made.secret).hex() not in entry.after


def test_takes_a_secret_that_is_given() -> None:
    made = create_subscription(
        account=make_account(), name="x", url=URL, event_types=["*"], secret=SIGNING_SECRET
    )
    assert made.secret == SigningSecret.objects.get().secret == SIGNING_SECRET


@pytest.mark.parametrize("secret", ["whsec_short", "nonsense!", "whsec_" + "A" * 200])
def test_refuses_a_secret_that_nobody_could_sign_with(secret: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message differs with the fault
        create_subscription(
            account=make_account(), name="x", url=URL, event_types=["*"], secret=secret
        )
    assert nothing_was_written()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://10.0.0.1/", "forbidden_address"),
        ("http://169.254.169.254/latest", "forbidden_address"),
        ("http://[::1]/", "forbidden_address"),
        ("ftp://127.0.0.1/", "scheme_not_allowed"),
        ("http://user:pass@127.0.0.1/", "credentials_in_url"),
        ("http://127.0.0.1:22/", "port_not_allowed"),
        ("http://2130706433/", "host_not_canonical"),
        ("nonsense", "scheme_not_allowed"),
    ],
)
def test_refuses_an_endpoint_and_says_why(url: str, problem: str) -> None:
    with pytest.raises(EndpointNotAcceptable) as caught:
        create_subscription(account=make_account(), name="x", url=url, event_types=["*"])
    assert caught.value.extra == {"problem": problem}
    assert caught.value.code == "endpoint_not_acceptable"
    assert nothing_was_written()


@pytest.mark.parametrize("pattern", ["", "a b", "a.", "*.a", "a" * 129])
def test_refuses_what_is_no_event_type(pattern: str) -> None:
    with pytest.raises(EventTypeMalformed) as caught:
        create_subscription(account=make_account(), name="x", url=URL, event_types=["a", pattern])
    assert caught.value.code == "event_type_malformed"
    assert nothing_was_written()


def test_is_in_the_audit_chain() -> None:
    made = create_subscription(account=make_account(), name="x", url=URL, event_types=["a"])
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_type) == (
        "subscription.created",
        "subscriptions.subscription",
    )
    assert entry.object_id == str(made.subscription.pk)
    assert entry.before == "{}"
    assert '"url":"http://127.0.0.1:8009/hook"' in entry.after
    assert '"event_types":["a"]' in entry.after


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["create", "change"])
def test_holds_no_lock_while_the_name_is_looked_up(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A name server that hangs must not keep every other writer waiting."""
    account = make_account()
    made = create_subscription(account=account, name="x", url=URL, event_types=["a"])
    in_transaction: list[bool] = []

    def check_endpoint(*_: Any) -> None:
        in_transaction.append(connection.in_atomic_block)

    monkeypatch.setattr(endpoints, "check_endpoint", check_endpoint)
    if change == "create":
        create_subscription(account=account, name="y", url=URL, event_types=["a"])
    else:
        services.change_subscription(subscription=made.subscription, url=URL)
    assert in_transaction == [False]
