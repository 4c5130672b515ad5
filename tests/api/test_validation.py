"""Questions that change nothing."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from incoming.errors import BodyPruned
from incoming.models import Receipt, RefusalCount, SourceSecret
from tests.api.calls import Api
from tests.api.rows import everything
from tests.factories import (
    SOURCE_SECRET,
    make_account,
    make_api_key,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account).text)


@pytest.mark.parametrize(
    ("schema", "payload", "errors"),
    [
        ({"type": "object"}, {}, []),
        (True, None, []),
        ({"type": "object"}, [], [{"path": "", "message": '[] is not of type "object"'}]),
        (
            {"properties": {"a/b": {"type": "string"}}},
            {"a/b": 1},
            [{"path": "/a~1b", "message": '1 is not of type "string"'}],
        ),
    ],
)
def test_does_a_payload_fit(api: Api, schema: Any, payload: Any, errors: Any) -> None:
    answer = api.post("validation/payload", {"schema": schema, "payload": payload})
    assert (answer.status, answer.json) == (200, {"valid": not errors, "errors": errors})


@pytest.mark.parametrize("schema", [5, {"type": 5}, {"$ref": "https://example.com/schema"}])
def test_what_is_no_schema_is_told(api: Api, schema: Any) -> None:
    answer = api.post("validation/payload", {"schema": schema, "payload": {}})
    assert (answer.status, answer.code) == (400, "schema_not_valid")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://127.0.0.1:8009/", ""),
        ("http://10.0.0.1/", "forbidden_address"),
        ("gopher://x", "scheme_not_allowed"),
        ("http://" + "a" * 2100, "too_long"),
    ],
)
def test_is_a_url_acceptable(api: Api, url: str, problem: str) -> None:
    answer = api.post("validation/url", {"url": url})
    assert (answer.status, answer.json) == (200, {"valid": not problem, "problem": problem})


BODY = '{"a":"é"}'


def ask(api: Api, account: Account, **change: Any) -> Any:
    source = make_source(account)
    signature = "sha256=" + hmac.digest(SOURCE_SECRET.encode(), BODY.encode(), "sha256").hex()
    question = {
        "source": str(source.pk),
        "headers": {
            "X-Hub-Signature-256": signature,
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": "d1",
        },
        "body": BODY,
    } | change
    before = everything()
    answer = api.post("validation/signature", question)
    assert everything() == before
    return answer


def test_a_right_signature(api: Api, account: Account) -> None:
    answer = ask(api, account)
    assert answer.json == {
        "valid": True,
        "cause": "",
        "detail": "",
        "secret_id": str(SourceSecret.objects.get().pk),
        "external_id": "d1",
        "type": "push",
    }
    assert not Receipt.objects.exists()
    assert not RefusalCount.objects.exists()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"body": BODY + " "}, "signature_mismatch"),
        ({"headers": {}}, "signature_missing"),
        ({"headers": {"x-hub-signature-256": "nonsense"}}, "signature_malformed"),
    ],
)
def test_which_step_failed(api: Api, account: Account, change: Any, cause: str) -> None:
    answer = ask(api, account, **change)
    assert (answer.json["valid"], answer.json["cause"]) == (False, cause)
    right = hmac.digest(SOURCE_SECRET.encode(), change.get("body", BODY).encode(), "sha256").hex()
    assert right not in answer.text
    assert SOURCE_SECRET not in answer.text


@pytest.mark.parametrize(
    "change", [{"source": "x"}, {"headers": []}, {"body": 5}, {"headers": {"a": None}}]
)
def test_a_malformed_question_is_told(api: Api, account: Account, change: Any) -> None:
    answer = ask(api, account, **change)
    assert answer.status in (200, 400)
    if answer.status == 400:
        assert answer.code == "invalid"


@pytest.mark.parametrize(
    ("path", "question"),
    [("filter", {"filter": {"data.a": 1}}), ("transformation", {"expression": "a"})],
)
def test_a_receipt_is_asked_about_while_it_has_its_body(
    api: Api, account: Account, path: str, question: Any
) -> None:
    receipt = make_receipt(make_source(account), body=b'{"a":1}')
    asked = {**question, "receipt": str(receipt.pk)}
    answer = api.post(f"validation/{path}", asked)
    assert answer.status == 200
    assert answer.json.get("matched", answer.json.get("result")) in (True, 1)
    Receipt.objects.update(body=b"", body_pruned_at=receipt.received_at)
    answer = api.post(f"validation/{path}", asked)
    assert (answer.status, answer.code) == (BodyPruned.status, "body_pruned")


@pytest.mark.parametrize(
    ("question", "result"),
    [
        ({}, "acme: 7"),
        ({"expression": "$variables.team & data.n"}, "acme7"),
        ({"bindings": {"variables": {"team": "other"}}}, "other: 7"),
    ],
)
def test_a_transformation_is_tried_with_the_variables_of_its_subscription(
    api: Api, account: Account, question: Any, result: str
) -> None:
    subscription = make_subscription(
        account, transformation="$variables.team & ': ' & data.n", variables={"team": "acme"}
    )
    before = everything()
    asked = {"subscription": str(subscription.pk), "data": {"data": {"n": 7}}, **question}
    answer = api.post("validation/transformation", asked)
    assert (answer.status, answer.json["valid"], answer.json["result"]) == (200, True, result)
    assert everything() == before


def test_a_transformation_needs_an_expression(api: Api, account: Account) -> None:
    answer = api.post("validation/transformation", {"data": {}})
    assert answer.errors == {"/expression": "required"}
    plain = {"data": {}, "subscription": str(make_subscription(account).pk)}
    assert api.post("validation/transformation", plain).errors == {"/subscription": "invalid"}
    strange = {"data": {}, "subscription": str(make_subscription(make_account()).pk)}
    assert api.post("validation/transformation", strange).status == 404
