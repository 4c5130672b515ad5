"""Published test vectors of third parties, tried on our providers.

A vector is a mapping with `provider`, `scheme`, `valid`, `headers`, `body` and, where they matter,
`method`, `url`, `timestamp` (the clock, Unix seconds), `secret` or `secrets`, `public_key`,
`expected_response` and `signed_string`. Nothing is fetched while vectors are checked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from incoming.providers import (
    PROVIDERS,
    Answer,
    Call,
    Cause,
    Provider,
    Refused,
    Secret,
    Verified,
    pinned,
)
from incoming.providers.locator import header_name
from incoming.providers.paypal import Paypal

DEFAULT_URL: Final = "https://example.com/in/src_1"

# What others call some of our providers.
ALIASES: Final = {
    "bird": "messagebird",
    "coinbase": "coinbase-commerce",
    "exact": "exact-online",
    "facebook": "meta",
    "graph": "microsoft-graph",
    "hookdeck-event-gateway": "hookdeck",
    "instagram": "meta",
    "sharepoint": "microsoft-sharepoint",
    "sns": "aws-sns",
    "wechat": "wechat-pay",
    "wechatpay": "wechat-pay",
    "x": "twitter",
}

Vector = Mapping[str, Any]


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "not supported yet"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one vector. `position` counts from 0; `detail` says what was found instead."""

    position: int
    provider: str
    scheme: str
    note: str
    outcome: Outcome
    detail: str = ""


def check_vectors(vectors: Sequence[Vector]) -> list[Result]:
    """One result for each vector, in their order. Raises nothing: a vector that makes a provider
    raise has failed."""
    with pinned.offline():
        return [_check(position, vector) for position, vector in enumerate(vectors)]


def _check(position: int, vector: Vector) -> Result:
    provider = PROVIDERS.get(_name(vector))
    if provider is None:
        outcome, detail = Outcome.UNSUPPORTED, ""
    else:
        try:
            detail = _complaint(provider, vector)
        except Exception as error:
            detail = f"raised {error!r}"
        outcome = Outcome.FAILED if detail else Outcome.PASSED
    return Result(
        position=position,
        provider=str(vector.get("provider")),
        scheme=str(vector.get("scheme", "")),
        note=str(vector.get("note", "")),
        outcome=outcome,
        detail=detail,
    )


def _name(vector: Vector) -> str:
    """The provider's name as we spell it."""
    given = str(vector.get("provider"))
    name = given.lower().replace("_", "-").replace(".", "")
    return ALIASES.get(name, name)


def _complaint(provider: Provider, vector: Vector) -> str:
    """What is wrong with our verdict or our answer; empty where nothing is."""
    call, secrets, options = _call(vector), _secrets(vector), _options(vector)
    expected = vector.get("expected_response")
    if vector.get("scheme") == "handshake" or (expected and call.method in ("GET", "HEAD")):
        answer = provider.handshake(call, secrets, options)
        return _about_answer(answer, expected or {}, valid=bool(vector["valid"]))
    verdict = provider.verify(call, secrets, options=options)
    if complaint := _about_verdict(provider, verdict, vector, call, secrets):
        return complaint
    if not expected or not vector["valid"]:
        return ""
    answer = (
        provider.handshake(call, secrets, options)
        or provider.acknowledge(call, secrets, options)
        or Answer()
    )
    return _about_answer(answer, expected, valid=True)


def _about_verdict(
    provider: Provider,
    verdict: Verified | Refused,
    vector: Vector,
    call: Call,
    secrets: Sequence[Secret],
) -> str:
    accepted = isinstance(verdict, Verified)
    if accepted == bool(vector["valid"]):
        return ""
    if isinstance(verdict, Verified):
        return "accepted, should be refused"
    text = vector.get("signed_string")
    if verdict.cause == Cause.KEY_UNAVAILABLE and text and isinstance(provider, Paypal):
        # Without the certificate only the text that was signed can be compared.
        given = provider.signed_text(call, secrets[0].value if secrets else "")
        return "" if given == text else f"signed text is {given!r}, should be {text!r}"
    return f"refused ({verdict.cause.value} {verdict.detail}), should be accepted"


def _about_answer(
    answer: Answer | Refused | None, expected: Mapping[str, Any], *, valid: bool
) -> str:
    refusal_wanted = not valid or int(expected.get("status", 200)) >= 400
    if not isinstance(answer, Answer):
        given = answer.cause.value if isinstance(answer, Refused) else "no answer"
        return "" if refusal_wanted else f"{given}, should be answered"
    if refusal_wanted:
        return "answered, should be refused"
    return "; ".join(_differences(answer, expected))


def _differences(answer: Answer, expected: Mapping[str, Any]) -> Iterator[str]:
    if answer.status != expected.get("status", answer.status):
        yield f"status {answer.status}, should be {expected['status']}"
    for name in ("text", "body"):
        if name in expected and answer.body.decode() != expected[name]:
            yield f"body {answer.body!r}, should be {expected[name]!r}"
    if "json" in expected and (not answer.body or orjson.loads(answer.body) != expected["json"]):
        yield f"body {answer.body!r}, should be {expected['json']!r} in JSON"
    wanted = expected.get("content_type", "")
    if not answer.content_type.startswith(wanted):
        yield f"content type {answer.content_type!r}, should be {wanted!r}"
    given = {name.lower(): value for name, value in answer.headers.items()}
    for name, value in expected.get("headers", {}).items():
        if name.lower() == "content-type":
            if not answer.content_type.startswith(value):
                yield f"content type {answer.content_type!r}, should be {value!r}"
        elif given.get(name.lower()) != value:
            yield f"header {name} is {given.get(name.lower())!r}, should be {value!r}"


def _call(vector: Vector) -> Call:
    body = vector.get("body") or ""
    clock = vector.get("timestamp")
    return Call(
        method=str(vector.get("method") or "POST").upper(),
        url=str(vector.get("url") or DEFAULT_URL),
        headers={
            header_name(str(name)): str(value)
            for name, value in (vector.get("headers") or {}).items()
        },
        body=body if isinstance(body, bytes) else str(body).encode("utf-8", "surrogatepass"),
        received_at=time.time() if clock is None else float(clock),
    )


def _secrets(vector: Vector) -> list[Secret]:
    """The vector's secrets in the form that the provider's sources have them."""
    values = [*_listed(vector.get("secret")), *_listed(vector.get("secrets"))]
    public = _listed(vector.get("public_key"))
    if _name(vector) == "braintree":
        values = [f"{public[0] if public else ''}|{value}" for value in values]
    else:
        values += public
    return [Secret(id=str(number), value=value) for number, value in enumerate(values)]


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [
        orjson.dumps(item).decode() if isinstance(item, dict) else str(item)
        for item in (value if isinstance(value, list) else [value])
    ]


def _options(vector: Vector) -> dict[str, str]:
    match _name(vector):
        case "generic-hmac":
            return _generic_options(vector)
        case "convoy":
            names = ("hash", "encoding")
            return {name: str(vector[name]).lower() for name in names if vector.get(name)}
        case "cloudinary":
            return {"hash": str(vector["hash"]).lower()} if vector.get("hash") else {}
        case "tiktok-shop":
            return {"app": str(vector.get("app_key", ""))}
        case "aws-sns":
            return {"topic_arn": _topic(vector)}
    return {}


def _generic_options(vector: Vector) -> dict[str, str]:
    """`hub-sha256` is GitHub's form, `hmac-sha512-base64` a bare digest; the header is the one
    whose name has "signature" in it."""
    options: dict[str, str] = {}
    family, _, rest = str(vector.get("scheme", "")).partition("-")
    if family == "hub" and rest:
        options |= {"hash": rest, "prefix": f"{rest}=", "split": ","}
    elif family == "hmac" and rest:
        hash_name, _, encoding = rest.partition("-")
        options |= {"hash": hash_name} | ({"encoding": encoding} if encoding else {})
    for name in ("hash", "encoding"):
        if vector.get(name):
            options[name] = str(vector[name]).lower()
    named = [name for name in vector.get("headers") or {} if "signature" in name.lower()]
    return options | ({"header": named[0]} if named else {})


def _topic(vector: Vector) -> str:
    try:
        topic = orjson.loads(vector.get("body") or "")["TopicArn"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "none"
    return str(topic)
