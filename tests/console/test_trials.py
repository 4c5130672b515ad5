"""The pages on which an operator tries what a source would say: right answers, nothing written."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import orjson
import pytest
from django.test import Client

from incoming.admin.trials import TRIALS
from incoming.models import Receipt, Source
from monitoring.models import AuditEntry
from tests.console.conftest import make_viewer
from tests.factories import SOURCE_SECRET, make_receipt, make_source
from webhooks_project.admin.values import page_of
from webhooks_project.lib import clock

ATTACK = "<script>alert(1)</script>\u202e"


def path_of(source: Source, trial: str) -> str:
    return page_of("incoming.source", source.pk).replace("/change/", f"/{trial}/")


def headers(body: bytes, **more: str) -> str:
    signature = hmac.new(SOURCE_SECRET.encode(), body, hashlib.sha256).hexdigest()
    lines = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
    return "\r\n".join(f"{name}: {text}" for name, text in (lines | more).items())


def answer(response: Any) -> str:
    """The part of the page above the form."""
    text: str = response.content.decode()
    return text[
        text.index('<div id="answer">') : text.index(
            "csrfmiddlewaretoken", text.index('id="answer"')
        )
    ]


@pytest.fixture
def source(db: None) -> Source:
    return make_source(
        schema={"type": "object", "required": ["id"]}, transformation='{"amount": amount * 2}'
    )


def test_the_source_leads_there(console: Client, source: Source) -> None:
    text = console.get(page_of("incoming.source", source.pk)).content.decode()

    for trial in TRIALS:
        assert path_of(source, trial.name) in text
        page = console.get(path_of(source, trial.name))
        assert page.status_code == 200
        assert path_of(source, "send-sample") in page.content.decode()


def test_a_right_signature(console: Client, source: Source) -> None:
    body = b'{"a":1}'

    response = console.post(
        path_of(source, "try-signature"),
        {"method": "POST", "headers": headers(body, **{"X-GitHub-Event": "push"}),
         "body": body.decode()},
    )  # fmt: skip

    told = answer(response)
    assert "valid" in told
    assert "secret …cret" in told
    assert "push" in told


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"headers": "", "body": "{}"}, "signature_missing"),
        ({"headers": headers(b"{}"), "body": "{} "}, "signature_mismatch"),
        ({"headers": "X-Hub-Signature-256: what", "body": "{}"}, "signature_malformed"),
    ],
)
def test_a_wrong_signature_names_the_step(
    console: Client, source: Source, given: dict[str, str], cause: str
) -> None:
    told = answer(console.post(path_of(source, "try-signature"), given))

    assert "refused" in told
    assert cause in told
    assert SOURCE_SECRET not in told


def test_lines_of_a_pasted_body_end_as_they_did(console: Client, source: Source) -> None:
    """A browser sends each end of a line as two characters."""
    body = b'{\n"a": 1\n}\n'

    response = console.post(
        path_of(source, "try-signature"),
        {"headers": headers(body), "body": body.decode().replace("\n", "\r\n")},
    )

    assert "signature_mismatch" not in answer(response)
    assert "valid" in answer(response)


def test_a_receipt_is_judged_by_its_time(console: Client) -> None:
    source = make_source(provider="stripe")
    stamp = "1700000000"
    signature = hmac.new(SOURCE_SECRET.encode(), f"{stamp}.{{}}".encode(), hashlib.sha256)
    receipt = make_receipt(
        source, headers={"stripe-signature": f"t={stamp},v1={signature.hexdigest()}"}
    )
    Receipt.objects.update(received_at="2023-11-14T22:13:21Z")

    response = console.post(path_of(source, "try-signature"), {"receipt_id": str(receipt.pk)})

    assert "valid" in answer(response)
    assert "2023-11-14 22:13:21" in answer(response)


@pytest.mark.parametrize(("is_verified", "word"), [(True, "valid"), (False, "refused")])
def test_a_receipt_whose_secret_was_taken_out_is_not_tried_anew(
    console: Client, is_verified: bool, word: str
) -> None:
    source = make_source(provider="gitlab")
    receipt = make_receipt(source, is_verified=is_verified)

    told = answer(console.post(path_of(source, "try-signature"), {"receipt_id": str(receipt.pk)}))

    assert "Verdict on arrival" in told
    assert word in told
    assert "signature_mismatch" not in told


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
@pytest.mark.parametrize("receipt", ["another's", "nonsense", "pruned", "\x00"])
def test_a_receipt_that_is_not_there(
    console: Client, source: Source, trial: Any, receipt: str
) -> None:
    keys = {
        "another's": make_receipt().pk,
        "pruned": make_receipt(source, body=b"", body_pruned_at="2026-01-01T00:00:00Z").pk,
    }
    given = {"receipt_id": str(keys.get(receipt, receipt)), "expression": "1", "condition": "{}",
             "schema": "{}"}  # fmt: skip

    response = console.post(path_of(source, trial.name), given)

    assert list(response.context["form"].errors) == ["receipt_id"]


def test_a_payload_that_does_not_fit(console: Client, source: Source) -> None:
    shown = console.get(path_of(source, "try-payload")).content.decode()
    schema = '{"type": "object", "properties": {"a": {"type": "number"}}, "required": ["id"]}'

    wrong = answer(
        console.post(path_of(source, "try-payload"), {"schema": schema, "body": '{"a": "x"}'})
    )
    right = answer(
        console.post(path_of(source, "try-payload"), {"schema": schema, "body": '{"id": 1}'})
    )

    assert "&quot;required&quot;" in shown
    assert "does not fit" in wrong
    assert "/a" in wrong
    assert "the whole" in wrong
    assert "fits" in right


def test_a_schema_that_is_none(console: Client, source: Source) -> None:
    response = console.post(
        path_of(source, "try-payload"), {"schema": '{"type": "nothing"}', "body": "{}"}
    )

    assert list(response.context["form"].errors) == ["__all__"]
    assert response.context["panels"] == []


def test_a_filter_clause_by_clause(console: Client, source: Source) -> None:
    """It sees what the transformation gives."""
    response = console.post(
        path_of(source, "try-filter"),
        {"condition": '{"data.amount": {"$gte": 100, "$lt": 150}, "type": "push"}',
         "headers": "x-github-event: push", "body": '{"amount": 80}'},
    )  # fmt: skip

    told = answer(response)
    assert "does not match" in told
    assert "/data.amount/$gte" in told
    assert "160" in told
    assert told.count("does not hold") == 1
    assert "absent" not in told


@pytest.mark.parametrize("condition", ['{"data.a": {"$near": 1}}', "[1]", '"a"'])
def test_a_filter_that_is_none(console: Client, source: Source, condition: str) -> None:
    response = console.post(path_of(source, "try-filter"), {"condition": condition, "body": "{}"})

    assert list(response.context["form"].errors) == ["__all__"]


def test_what_a_transformation_gives(console: Client, source: Source) -> None:
    path = path_of(source, "try-transformation")

    made = answer(console.post(path, {"expression": '{"n": a + 1}', "body": '{"a": 1}'}))
    nothing = answer(console.post(path, {"expression": "nothing", "body": '{"a": 1}'}))
    failed = answer(console.post(path, {"expression": "1 +", "body": '{"a": 1}'}))

    assert "&quot;n&quot;: 2" in made
    assert "nothing" in nothing
    assert "failed" in failed
    assert "syntax" in failed


def test_what_would_follow_route_by_route(console: Client) -> None:
    source = make_source(
        routes=(
            {"condition": {"data.amount": {"$gte": 100}}, "event_type": "big.{type}"},
            {"type_pattern": "issues"},
            {"action": "update", "expression": '{"plan": amount}', "disabled_at": clock.now()},
            {"action": "notify", "recipients": ["operator"], "message": "{type} came",
             "is_last": True},
            {},
        )
    )  # fmt: skip
    given = {"headers": "x-github-event: push", "body": '{"amount": 80}'}

    small = answer(console.post(path_of(source, "try-routes"), given))
    big = answer(console.post(path_of(source, "try-routes"), given | {"body": '{"amount": 180}'}))

    assert "big.push" not in small.partition("Route by route")[0]
    assert "its condition does not hold" in small
    assert "the type is another" in small
    assert "it is disabled" in small
    assert "a route before it was the last" in small
    assert "operator: push came" in small
    assert "/data.amount/$gte" in small
    assert "big.push" in big.partition("Route by route")[0]
    assert not Receipt.objects.exists()


def test_what_would_follow_a_receipt(console: Client, source: Source) -> None:
    receipt = make_receipt(source, body=b'{"amount": 1}')

    told = answer(console.post(path_of(source, "try-routes"), {"receipt_id": str(receipt.pk)}))

    assert "github.push" in told
    assert "takes it" in told


def test_why_it_cannot_be_told(console: Client, source: Source) -> None:
    Source.objects.update(transformation="$error('no')")

    told = answer(console.post(path_of(source, "try-routes"), {"body": "{}"}))

    assert "evaluation_failed" in told
    assert "failed</span>" in re.sub(r"\s+<", "<", told)


def test_secrets_and_proofs_are_not_in_an_answer(console: Client) -> None:
    source = make_source(secret="s3cret-of-the-source")
    receipt = make_receipt(
        source,
        body=orjson.dumps({"token": "s3cret-of-the-source"}),
        headers={"authorization": "Bearer pr00f", "x-hub-signature-256": "sha256=pr00f2"},
    )
    given = {"receipt_id": str(receipt.pk)}

    told = [
        console.post(
            path_of(source, "try-transformation"),
            given | {"expression": '{"data": $$, "headers": $headers}'},
        ),
        console.post(path_of(source, "try-filter"), given | {"condition": '{"data.token": "x"}'}),
        console.post(path_of(source, "try-signature"), given),
        console.post(
            path_of(source, "try-payload"),
            given | {"schema": '{"properties": {"token": {"type": "number"}}}'},
        ),
    ]

    assert "[redacted]" in answer(told[0])
    for response in told:
        assert response.status_code == 200
        text = response.content.decode()
        assert "s3cret-of-the-source" not in text
        assert "pr00f" not in text


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_what_is_hostile_is_text(console: Client, source: Source, trial: Any) -> None:
    body = orjson.dumps({ATTACK: ATTACK, "long": "x" * 5000}).decode()
    given = {
        "headers": f"x-github-event: {ATTACK}", "query": ATTACK, "body": body,
        "expression": f'{{"a": "{ATTACK}", "b": $$}}',
        "condition": orjson.dumps({f"data.{ATTACK}": ATTACK}).decode(),
        "schema": orjson.dumps({"required": [ATTACK]}).decode(),
    }  # fmt: skip

    response = console.post(path_of(source, trial.name), given)

    assert response.status_code == 200
    assert response.context["panels"]
    assert "<script>alert(1)" not in response.content.decode()
    assert "\u202e" not in answer(response)


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"headers": "no header", "body": "{}"},
        {"method": "BREW"},
        {"body": "\x00\uffff"},
        {"headers": "a: \x00", "body": "[" * 5000, "expression": "[" * 5000,
         "condition": "[" * 5000, "schema": "[" * 5000},
        {"expression": "1", "condition": "{}", "schema": "true", "body": "\x00"},
        {"query": "a" * 10_000},
    ],
    ids=range(7),
)  # fmt: skip
def test_nothing_that_is_asked_breaks_it(
    console: Client, source: Source, trial: Any, given: dict[str, str]
) -> None:
    assert console.post(path_of(source, trial.name), given).status_code == 200


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_who_may_try(source: Source, trial: Any) -> None:
    path = path_of(source, trial.name)

    page = make_viewer("incoming.source", "incoming.receipt").get(path)
    assert page.status_code == 200
    assert "send-sample" not in page.content.decode()
    assert make_viewer("incoming.source").get(path).status_code == 403
    assert make_viewer("incoming.receipt").get(path).status_code == 403
    assert Client().get(path).status_code == 302
    assert make_viewer("incoming.source", "incoming.receipt").put(path).status_code == 405


def test_nothing_is_written(console: Client, source: Source) -> None:
    given = {"expression": "1", "condition": "{}", "schema": "{}", "body": "{}"}

    for trial in TRIALS:
        console.post(path_of(source, trial.name), given)

    assert not Receipt.objects.exists()
    assert not AuditEntry.objects.exists()
    kept = Source.objects.values().get()
    assert kept["transformation"] == source.transformation
