"""Is this right, and if not, where is it wrong: answered without a trace."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from incoming import trials
from incoming.models import Source, SourceSecret
from incoming.routing import Handle, Notify, Publish, Update
from incoming.trials import RouteAnswer, RoutesAnswer, TransformationAnswer
from subscriptions.errors import SchemaNotValid
from tests.api.rows import everything
from tests.factories import SOURCE_SECRET, make_receipt, make_source
from tests.incoming.calls import BODY, github_headers, hex_hmac
from tests.incoming.handlers import add_handler, no_handlers  # noqa: F401 - a fixture
from webhooks_project.lib import clock
from webhooks_project.lib.filters import FilterNotAcceptable

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _writes_nothing(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every question leaves the tables as they were."""
    before: list[Any] = []
    for name in [name for name in dir(trials) if name.startswith("try_")]:
        asked = getattr(trials, name)

        def ask(*given: Any, _asked: Any = asked, **named: Any) -> Any:
            before.append(everything())
            answer = _asked(*given, **named)
            assert everything() == before[-1]
            return answer

        monkeypatch.setattr(trials, name, ask)
    yield
    assert before


def signed(body: bytes, source: Source, **change: Any) -> Any:
    headers = github_headers(body, x_github_delivery="d1") | {"content-type": "application/json"}
    return trials.call_for(source, **{"headers": headers, "body": body} | change)


# --- signatures -----------------------------------------------------------------------------------


def test_a_right_call_is_told_with_the_secret_that_fitted() -> None:
    source = make_source()
    SourceSecret.objects.create(source=source, secret="another")
    answer = trials.try_signature(source, signed(BODY, source))
    fitting = next(row for row in source.secrets.all() if row.secret == SOURCE_SECRET)
    assert answer == trials.SignatureAnswer(True, "", "", str(fitting.pk), "d1", "issues")


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        ({}, "signature_missing"),
        ({"X-Hub-Signature-256": "nonsense"}, "signature_malformed"),
        ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, "signature_mismatch"),
        ({"X_Hub_Signature_256": "sha256=é"}, "signature_malformed"),
    ],
)
def test_the_step_that_failed_is_told_and_no_secret(headers: dict[str, str], cause: str) -> None:
    source = make_source()
    answer = trials.try_signature(source, trials.call_for(source, headers=headers, body=BODY))
    assert (answer.valid, answer.cause, answer.secret_id) == (False, cause, "")
    assert SOURCE_SECRET not in repr(answer)
    assert hex_hmac(BODY) not in repr(answer)


@pytest.mark.parametrize("over", ["what was sent", "what it expands to"])
def test_a_compressed_body_is_judged_as_the_door_does(over: str) -> None:
    source = make_source(dedup_fields=["json:title"])
    compressed = gzip.compress(BODY)
    proved = compressed if over == "what was sent" else BODY
    headers = github_headers(proved) | {"content-encoding": "gzip"}
    answer = trials.try_signature(source, trials.call_for(source, headers=headers, body=compressed))
    assert (answer.valid, answer.cause, answer.type) == (True, "", "issues")
    assert answer.external_id.startswith("fields:")


def test_a_body_that_is_larger_than_the_source_takes_is_refused() -> None:
    source = make_source(max_body_bytes=len(BODY) - 1)
    answer = trials.try_signature(source, signed(BODY, source))
    assert (answer.valid, answer.cause) == (False, "payload_too_large")
    assert answer.detail == f"at most {len(BODY) - 1} bytes are taken"


def test_what_expands_to_more_than_the_source_takes_is_refused() -> None:
    source = make_source(max_body_bytes=1_000)
    compressed = gzip.compress(b"0" * 100_000)
    headers = github_headers(compressed) | {"content-encoding": "gzip"}
    answer = trials.try_signature(source, trials.call_for(source, headers=headers, body=compressed))
    assert (answer.valid, answer.cause, answer.secret_id) == (False, "payload_too_large", "")


def test_timestamps_are_judged_by_the_moment_that_is_named() -> None:
    source = make_source(provider="slack")
    body = b"{}"
    stamp = int(NOW.timestamp())
    proof = hex_hmac(b"v0:%d:%s" % (stamp, body))
    headers = {"x-slack-request-timestamp": str(stamp), "x-slack-signature": f"v0={proof}"}
    for late, cause in [(0, ""), (3600, "timestamp_too_old")]:
        moment = NOW + timedelta(seconds=late)
        call = trials.call_for(source, headers=headers, body=body, moment=moment)
        assert trials.try_signature(source, call, moment).cause == cause


def test_a_secret_that_ended_does_not_fit() -> None:
    source = make_source()
    SourceSecret.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    assert trials.try_signature(source, signed(BODY, source)).cause == "secret_missing"


# --- payloads, URLs, filters ----------------------------------------------------------------------


def test_a_payload_is_told_where_it_does_not_fit() -> None:
    schema = {"properties": {"a": {"type": "integer"}}, "required": ["b"]}
    assert trials.try_payload(schema, {"a": 1, "b": 2}).valid
    answer = trials.try_payload(schema, {"a": "x"})
    assert not answer.valid
    assert {error.path for error in answer.errors} == {"", "/a"}


@pytest.mark.parametrize("schema", [5, {"type": "nonsense"}, {"$ref": "https://example.com/"}])
def test_what_is_no_schema_is_said_to_be_none(schema: Any) -> None:
    with pytest.raises(SchemaNotValid):
        trials.try_payload(schema, {})


@pytest.mark.parametrize(
    ("url", "problem"),
    [("http://127.0.0.1:8009/", ""), ("http://10.0.0.1/", "forbidden_address")],
)
def test_a_url_is_acceptable_or_not_and_why(url: str, problem: str) -> None:
    answer = trials.try_url(url)
    assert (answer.valid, answer.problem) == (not problem, problem)


def test_a_filter_is_told_clause_by_clause() -> None:
    answer = trials.try_filter(
        {"type": "push", "data.amount": {"$gte": 100}}, {"type": "push", "data": {"amount": 5}}
    )
    assert not answer.matched
    assert [(clause.path, clause.operator, clause.passed) for clause in answer.clauses] == [
        ("type", "$eq", True),
        ("data.amount", "$gte", False),
    ]


def test_what_is_no_filter_is_said_to_be_none_and_where() -> None:
    with pytest.raises(FilterNotAcceptable) as caught:
        trials.try_filter({"a": {"$near": 1}}, {})
    assert caught.value.extra == {"reason": "unknown_operator", "path": "/a/$near"}


# --- transformations ------------------------------------------------------------------------------


def test_a_transformation_is_told_by_what_it_gives() -> None:
    answer = trials.try_transformation("$type & ':' & a", {"a": 1}, {"type": "push"})
    assert answer == TransformationAnswer(valid=True, result="push:1")


def test_nothing_is_told_from_null() -> None:
    assert trials.try_transformation("null", {}) == TransformationAnswer(valid=True)
    assert trials.try_transformation("missing", {}) == TransformationAnswer(
        valid=True, is_empty=True
    )


@pytest.mark.parametrize(
    ("expression", "code", "reason", "position"),
    [
        ("a +", "expression_not_acceptable", "syntax", 3),
        ('"a" + 1', "evaluation_failed", "failed", 5),
    ],
)
def test_what_fails_is_told_with_its_place(
    expression: str, code: str, reason: str, position: int | None
) -> None:
    answer = trials.try_transformation(expression, {})
    assert (answer.valid, answer.code, answer.reason, answer.position) == (
        False,
        code,
        reason,
        position,
    )
    assert answer.message


def test_what_does_not_end_is_told() -> None:
    answer = trials.try_transformation("($f := function($n) { $f($n) }; $f(1))", {})
    # Where in the expression it stood when its time was over is told, or not.
    assert (answer.valid, answer.code, answer.reason) == (False, "evaluation_failed", "timed_out")
    assert answer.message


def test_an_expression_sees_what_it_will_see_when_the_call_comes() -> None:
    source = make_source()
    headers = {"X-GitHub-Event": "push", "Authorization": "Bearer x", "Content-Type": "text/xml"}
    call = trials.call_for(
        source, method="PUT", query="a=1&token=x", headers=headers, body=b"<a><b>2</b></a>"
    )
    data, bindings = trials.expression_input(source, trials.receipt_for(source, call))
    assert data == {"a": {"b": "2"}}
    assert bindings == {
        "type": "push",
        "provider": "github",
        "method": "PUT",
        "query": {"a": "1", "token": "[redacted]"},
        "headers": {
            "x-github-event": "push",
            "authorization": "[redacted]",
            "content-type": "text/xml",
        },
    }
    trials.try_transformation("a.b", data, bindings)


def test_a_condition_sees_what_the_transformation_gives() -> None:
    source = make_source(transformation='{"sum": a + 1, "type": $type}')
    call = trials.call_for(source, headers={"X-GitHub-Event": "push"}, body=b'{"a":1}')
    document = trials.document_for(source, trials.receipt_for(source, call))
    assert (document["type"], document["data"]) == ("push", {"sum": 2, "type": "push"})
    assert trials.try_filter({"data.sum": 2}, document).matched


def test_a_condition_sees_a_compressed_body_expanded() -> None:
    source = make_source(provider="stripe")
    body = gzip.compress(b'{"type":"invoice.paid","id":"evt_1"}')
    call = trials.call_for(source, headers={"content-encoding": "gzip"}, body=body)
    document = trials.document_for(source, trials.receipt_for(source, call))
    assert (document["type"], document["data"]["id"]) == ("invoice.paid", "evt_1")
    assert trials.try_routes(source, trials.receipt_for(source, call)).actions == [
        Publish(source.routes.get(), "stripe.invoice.paid")
    ]


# --- routes ---------------------------------------------------------------------------------------

ROUTES = (
    {"type_pattern": "issues"},
    {"type_pattern": "push", "disabled_at": NOW},
    {"type_pattern": "push*", "condition": {"data.amount": {"$gte": 100}}},
    {"type_pattern": "push", "action": "update", "expression": '{"last": amount}'},
    {"type_pattern": "push", "action": "handle", "handler": "count", "is_last": True},
    {"action": "notify", "recipients": ["operator"], "message": "{type}"},
)


def test_each_route_is_told_with_why_it_takes_a_call_or_not() -> None:
    add_handler("count", routed=True)
    source = make_source(routes=ROUTES)
    routes = list(source.routes.all())
    call = trials.call_for(source, headers={"X-GitHub-Event": "push"}, body=b'{"amount":5}')
    answer = trials.try_routes(source, trials.receipt_for(source, call))
    assert [(item.route.position, item.taken, item.reason) for item in answer.routes] == [
        (0, False, "type"),
        (1, False, "disabled"),
        (2, False, "condition"),
        (3, True, ""),
        (4, True, ""),
        (5, False, "ended"),
    ]
    (clause,) = answer.routes[2].clauses
    assert (clause.path, clause.found, clause.passed) == ("data.amount", (5,), False)
    assert answer.actions == [Update(routes[3], {"last": 5}), Handle("count", routes[4])]
    assert (answer.cause, answer.detail) == ("", "")


def test_a_receipt_is_asked_about_by_its_own_type() -> None:
    source = make_source(routes=({"action": "notify", "message": "{type} came"},))
    receipt = make_receipt(source, type="push", headers={"x-github-event": "issues"})
    answer = trials.try_routes(source, receipt)
    route = source.routes.get()
    assert answer.actions == [Notify(route, "GitHub: push", "push came")]


def test_a_call_that_no_route_takes_is_told() -> None:
    source = make_source(routes=({"type_pattern": "push"},))
    answer = trials.try_routes(source, trials.receipt_for(source, trials.call_for(source)))
    assert answer == RoutesAnswer(
        [RouteAnswer(source.routes.get(), False, "type")], [], "", "no route takes it"
    )


def test_where_the_transformation_gives_nothing_no_route_is_asked() -> None:
    source = make_source(transformation="missing")
    answer = trials.try_routes(source, make_receipt(source))
    assert answer == RoutesAnswer((), (), "", "the transformation gives nothing")


def test_a_transformation_that_fails_is_told() -> None:
    source = make_source(transformation='"a" + 1')
    answer = trials.try_routes(source, make_receipt(source))
    assert (answer.routes, answer.actions, answer.cause) == ((), (), "evaluation_failed")
    assert answer.detail.startswith("the transformation: failed: ")


def test_a_receipt_without_its_body_is_told() -> None:
    source = make_source()
    receipt = make_receipt(source, body=b"", body_pruned_at=NOW)
    answer = trials.try_routes(source, receipt)
    assert (answer.routes, answer.cause) == ((), "body_pruned")


@pytest.mark.parametrize(
    "body", [b"", b"\xff\x00", b"[" * 5_000, b'{"a":"\\ud800"}', orjson.dumps("x" * 100_000)]
)
def test_nothing_that_a_stranger_sends_raises(body: bytes) -> None:
    source = make_source(routes=({"condition": {"data.a": 1}},), transformation="$")
    for content_type in ("application/json", "text/xml", "multipart/form-data", "\x00"):
        headers = {"content-type": content_type, "content-encoding": "gzip"}
        call = trials.call_for(source, query="%ff=%00&\ud800", headers=headers, body=body)
        trials.try_signature(source, call)
        trials.try_routes(source, trials.receipt_for(source, call))
        trials.document_for(source, trials.receipt_for(source, call))
