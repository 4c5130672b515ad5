"""A secret is shown when it is made, and never again (promise 11)."""

from __future__ import annotations

from typing import Any

import pytest

from incoming.models import SourceSecret
from monitoring.models import Activity, AuditEntry
from subscriptions.models import SigningSecret, Subscription
from tests.api.calls import Api
from tests.api.routes import ROUTES, URL, make_world
from tests.factories import make_api_key, make_receipt, make_source
from webhooks_project.accounts.models import Account, Role
from webhooks_project.lib.keyring import Keyring, new_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api(make_api_key(None, Role.ADMIN).text)


def make_secrets(api: Api) -> list[str]:
    """Everything that shows a secret, once."""
    subscription = api.post("subscriptions", {"name": "x", "url": URL, "event_types": ["*"]})
    source = api.post("incoming/sources", {"name": "x", "provider": "github"})
    given = "a-secret-that-the-provider-made"
    with_given = api.post("incoming/sources", {"name": "y", "provider": "github", "secret": given})
    rotated = api.post(f"subscriptions/{subscription.json['id']}/rotate-secret")
    rotated_source = api.post(f"incoming/sources/{source.json['id']}/rotate-secret")
    answers = [subscription, source, with_given, rotated, rotated_source]
    secrets = [answer.json["secret"] for answer in answers]
    assert len(set(secrets)) == len(secrets)
    assert with_given.json["secret"] == given
    for answer, secret in zip(answers, secrets, strict=True):
        assert answer.text.count(secret) == 1
    kept = [row.secret for model in (SigningSecret, SourceSecret) for row in model.objects.all()]
    assert set(secrets) == set(kept)
    return secrets


def test_no_get_shows_a_secret_that_was_made_before(api: Api) -> None:
    secrets = make_secrets(api)
    account = Account.objects.get()
    world = make_world(account)
    secrets += [row.secret for row in SigningSecret.objects.all()]
    secrets += [row.secret for row in SourceSecret.objects.all()]
    sealed = [row.__dict__["secret"] for row in SigningSecret.objects.all()]
    ids = world.ids()
    made = {"subscription": SigningSecret.objects.last(), "source": SourceSecret.objects.last()}
    for name, route in ROUTES.items():
        if "get" not in route.roles:
            continue
        answers = [api.get(route.url(ids))]
        for row, secret in made.items():
            answers.append(api.get(route.url({**ids, row: getattr(secret, f"{row}_id")})))
        for answer in answers:
            assert not [item for item in secrets + sealed if item in answer.text], name


def test_no_answer_to_a_change_shows_it_again(api: Api) -> None:
    secrets = make_secrets(api)
    Subscription.objects.update(status=Subscription.Status.ACTIVE)
    for row in api.get("subscriptions").rows:
        for path, body in (("", {"name": "z"}), ("/pause", None), ("/resume", None)):
            call = api.patch if body else api.post
            answer = call(f"subscriptions/{row['id']}{path}", body)
            assert answer.status == 200
            assert not [secret for secret in secrets if secret in answer.text]
    for row in api.get("incoming/sources").rows:
        for path, body in (("", {"name": "z"}), ("/disable", None), ("/rotate-token", None)):
            call = api.patch if body else api.post
            answer = call(f"incoming/sources/{row['id']}{path}", body)
            assert answer.status == 200
            assert not [secret for secret in secrets if secret in answer.text]


def test_a_secret_is_named_by_its_end(api: Api) -> None:
    make_secrets(api)
    (subscription,) = api.get("subscriptions").rows
    ends = ["…" + row.secret[-4:] for row in SigningSecret.objects.all()]
    assert [secret["last_four"] for secret in subscription["secrets"]] == ends
    shown = {"id", "kind", "last_four", "public_key", "created_at", "expires_at"}
    assert set(subscription["secrets"][0]) == shown


def test_neither_the_audit_nor_the_activity_holds_a_secret(api: Api) -> None:
    secrets = make_secrets(api)
    journal = str(list(AuditEntry.objects.values_list())) + str(
        list(Activity.objects.values_list())
    )
    assert not [secret for secret in secrets if secret in journal]


def test_a_secret_that_cannot_be_opened_does_not_hide_the_rest(api: Api, settings: Any) -> None:
    make_secrets(api)
    settings.ENCRYPTION_KEYRING = Keyring.parse(new_key("other"))
    for path in ("subscriptions", "incoming/sources"):
        rows = api.get(path).rows
        assert rows
        assert {secret["last_four"] for row in rows for secret in row["secrets"]} == {"…"}


@pytest.mark.parametrize(
    "header",
    ["authorization", "x-gitlab-token", "x-hub-signature-256", "stripe-signature", "cookie"],
)
def test_a_receipt_hides_secrets_and_proofs_in_its_headers(api: Api, header: str) -> None:
    source = make_source(Account.objects.get())
    receipt = make_receipt(source, headers={header: "very-secret", "x-plain": "shown"})
    answer = api.get(f"incoming/receipts/{receipt.pk}")
    assert "very-secret" not in answer.text
    assert answer.json["headers"] == {header: "[redacted]", "x-plain": "shown"}


@pytest.mark.parametrize(
    "name", ["token", "secret", "api_key", "signature", "access_token", "Token"]
)
def test_a_receipt_hides_secrets_and_proofs_in_its_query(api: Api, name: str) -> None:
    source = make_source(Account.objects.get())
    receipt = make_receipt(source, query=f"a=1&{name}=very-secret&b=2")
    answer = api.get(f"incoming/receipts/{receipt.pk}")
    assert "very-secret" not in answer.text
    assert answer.json["query"] == f"a=1&{name}=[redacted]&b=2"


def test_a_receipt_hides_the_source_s_own_secrets_wherever_they_stand(api: Api) -> None:
    """Some third parties prove themselves by a word in the URL or in the body."""
    source = make_source(Account.objects.get(), secret="pass word&1")
    receipt = make_receipt(
        source,
        query="proof=pass+word%261&b=pass%20word%261",
        headers={"x-own": "Basic pass word&1"},
        body=b'{"verify":"pass word&1","amount":1}',
    )
    answer = api.get(f"incoming/receipts/{receipt.pk}")
    assert answer.json["query"] == "proof=[redacted]&b=[redacted]"
    assert answer.json["headers"] == {"x-own": "Basic [redacted]"}
    assert answer.json["body"] == '{"verify":"[redacted]","amount":1}'
