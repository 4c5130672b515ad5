"""What every provider holds to, whatever its scheme."""

from __future__ import annotations

from dataclasses import replace

import pytest

from incoming.providers import PROVIDERS, Call, Cause, Provider, Refused, Secret, Verified

from . import cases_of_keys, cases_of_modules, cases_of_recipes
from .cases import NOW, OTHER_BODY, Case

CASES: dict[str, Case] = {
    **cases_of_recipes.CASES,
    **cases_of_keys.CASES,
    **cases_of_modules.CASES,
}

TOKENS_THAT_END = ("messagebird", "monday", "wix")  # they say themselves when they do

every_provider = pytest.mark.parametrize("name", sorted(PROVIDERS))
every_stamped = pytest.mark.parametrize(
    "name", sorted(name for name, case in CASES.items() if case.past is not None)
)


def _secrets(case: Case, *values: str) -> list[Secret]:
    pinned = [Secret(id="pinned", value=value) for value in case.pinned]
    return [Secret(id=f"s{number}", value=value) for number, value in enumerate(values)] + pinned


def _verify(name: str, signed: Call, secrets: list[Secret]) -> Verified | Refused:
    return PROVIDERS[name].verify(signed, secrets, options=CASES[name].options)


def test_every_provider_has_a_case() -> None:
    assert sorted(CASES) == sorted(PROVIDERS)


@every_provider
def test_accepts_a_right_call_with_either_secret(name: str) -> None:
    case = CASES[name]
    both = _secrets(case, *case.secrets[:2])
    for number, secret in enumerate(case.secrets[:2]):
        verdict = _verify(name, case.sign(secret, case.body, NOW), both)
        expected = Verified(secret_id=f"s{number}", signed_at=NOW if case.stamped else None)
        assert verdict == expected


@every_provider
def test_refuses_a_call_without_a_signature(name: str) -> None:
    case = CASES[name]
    signed = case.sign(case.secrets[0], case.body, NOW)
    verdict = _verify(name, case.stripped(signed), _secrets(case, case.secrets[0]))
    assert isinstance(verdict, Refused)
    assert verdict.cause == Cause.SIGNATURE_MISSING


@every_provider
def test_refuses_a_strangers_signature(name: str) -> None:
    case = CASES[name]
    signed = case.sign(case.secrets[2], case.body, NOW)
    verdict = _verify(name, signed, _secrets(case, *case.secrets[:2]))
    assert isinstance(verdict, Refused)
    assert verdict.cause == case.mismatch


@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if case.covers_body))
def test_refuses_the_signature_of_another_body(name: str) -> None:
    case = CASES[name]
    signed = replace(case.sign(case.secrets[0], case.body, NOW), body=OTHER_BODY)
    verdict = _verify(name, signed, _secrets(case, case.secrets[0]))
    assert isinstance(verdict, Refused)
    assert verdict.cause == case.mismatch


@every_provider
def test_refuses_when_the_source_has_no_secret_or_an_empty_one(name: str) -> None:
    """With an empty key anybody could sign."""
    case = CASES[name]
    signed = case.sign(case.secrets[0], case.body, NOW)
    for secrets in ([], [Secret(id="s0", value="")]):
        verdict = _verify(name, signed, secrets)
        assert isinstance(verdict, Refused)
        assert verdict.cause == case.without_secret


@every_stamped
def test_refuses_a_stale_call(name: str) -> None:
    case = CASES[name]
    assert case.past is not None
    signed = case.sign(case.secrets[0], case.body, NOW)
    secrets = _secrets(case, case.secrets[0])
    at_the_bound = _verify(name, replace(signed, received_at=NOW + case.past), secrets)
    beyond = _verify(name, replace(signed, received_at=NOW + case.past + 1), secrets)
    assert isinstance(at_the_bound, Verified)
    assert isinstance(beyond, Refused)
    assert beyond.cause == Cause.TIMESTAMP_TOO_OLD


@pytest.mark.parametrize(
    "name", sorted(name for name, case in CASES.items() if case.future is not None)
)
def test_refuses_a_call_from_the_future(name: str) -> None:
    case = CASES[name]
    assert case.future is not None
    signed = case.sign(case.secrets[0], case.body, NOW)
    secrets = _secrets(case, case.secrets[0])
    at_the_bound = _verify(name, replace(signed, received_at=NOW - case.future), secrets)
    beyond = _verify(name, replace(signed, received_at=NOW - case.future - 1), secrets)
    assert isinstance(at_the_bound, Verified)
    assert isinstance(beyond, Refused)
    assert beyond.cause == Cause.TIMESTAMP_IN_FUTURE


@pytest.mark.parametrize(
    "name",
    sorted(name for name, case in CASES.items() if case.stamped and case.past is None),
)
def test_takes_any_age_where_the_third_party_sets_none(name: str) -> None:
    case = CASES[name]
    signed = case.sign(case.secrets[0], case.body, NOW)
    late = replace(signed, received_at=NOW + 1_000_000)
    assert isinstance(_verify(name, late, _secrets(case, case.secrets[0])), Verified)


@pytest.mark.parametrize(
    "name",
    sorted(name for name, case in CASES.items() if case.stamped and name not in TOKENS_THAT_END),
)
def test_the_sources_tolerance_counts(name: str) -> None:
    case = CASES[name]
    secrets = _secrets(case, case.secrets[0])
    late = replace(case.sign(case.secrets[0], case.body, NOW), received_at=NOW + 3)
    for seconds, expected in ((2, Refused(Cause.TIMESTAMP_TOO_OLD)), (3, None)):
        verdict = PROVIDERS[name].verify(
            late, secrets, tolerance_seconds=seconds, options=case.options
        )
        assert verdict == expected or (expected is None and isinstance(verdict, Verified))


@every_provider
def test_refuses_a_signature_that_is_not_ascii_or_overlong(name: str) -> None:
    case = CASES[name]
    signed = case.sign(case.secrets[0], case.body, NOW)
    expected = dict.fromkeys(("⚠️é", "\udcff\ud800", "é" * 64), case.garbled)
    expected["a" * 100_000] = Cause.SIGNATURE_MALFORMED
    for text, cause in expected.items():
        verdict = _verify(name, case.forged(signed, text), _secrets(case, case.secrets[0]))
        assert isinstance(verdict, Refused)
        assert verdict.cause == cause


@every_provider
def test_judges_an_empty_body(name: str) -> None:
    case = CASES[name]
    signed = case.sign(case.secrets[0], b"", NOW)
    verdict = _verify(name, signed, _secrets(case, case.secrets[0]))
    if case.empty is None:
        assert isinstance(verdict, Verified)
    else:
        assert isinstance(verdict, Refused)
        assert verdict.cause == case.empty


@every_provider
def test_ten_thousand_headers_change_nothing(name: str) -> None:
    case = CASES[name]
    signed = case.sign(case.secrets[0], case.body, NOW)
    more = {f"x-{number}": "v" * 50 for number in range(10_000)}
    crowded = replace(signed, headers={**more, **signed.headers})
    assert isinstance(_verify(name, crowded, _secrets(case, case.secrets[0])), Verified)


NASTY_BODIES = (
    b"",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"0",
    b'"text"',
    b"[" * 100_000,
    b'{"a":' * 5_000,
    b'{"type":{},"id":[],"event":1,"challenge":{},"signature":[],"value":[1,null,{}]}',
    b'{"Signature":{},"Type":[],"notificationItems":[null,1,{"NotificationRequestItem":2}]}',
    b"a=1&" * 5_000,
    b"bt_signature=%FF&bt_payload=%FF&mandrill_events=%FF",
    b"<?xml version='1.0'?><a><b></a>",
    b"a.b.c",
    b'{"object_payload":' + b"[" * 900 + b"]" * 900 + b',"object_payload_signature":"eA=="}',
)
NASTY_TEXTS = ("", "é", "\ud800", "=", ",", "t=,v1=", "t=1,v1=zz", "a.b.c", "..", "Basic é", "\x00")


@every_provider
def test_nothing_a_stranger_sends_raises(name: str) -> None:
    case, provider = CASES[name], PROVIDERS[name]
    right = case.sign(case.secrets[0], case.body, NOW)
    secrets = _secrets(case, case.secrets[0])
    for method in ("GET", "HEAD", "POST"):
        for body in NASTY_BODIES:
            _ask_everything(provider, replace(right, method=method, body=body), secrets, case)
        for text in NASTY_TEXTS:
            headers = dict.fromkeys(right.headers, text) | dict.fromkeys(_KNOWN_HEADERS, text)
            query = "&".join(f"{parameter}={text}" for parameter in _KNOWN_PARAMETERS)
            odd = replace(right, method=method, headers=headers, url=f"{right.url}?{query}")
            _ask_everything(provider, odd, secrets, case)


_KNOWN_HEADERS = (
    "authorization",
    "content-type",
    "x-hook-secret",
    "validation-token",
    "x-okta-verification-challenge",
    "x-front-challenge",
    "x-hubspot-signature",
    "x-hubspot-signature-version",
    "x-gitlab-token",
    "fireblocks-signature",
    "hmacsignature",
    "x-recharge-hmac-sha256",
)
_KNOWN_PARAMETERS = (
    "hub.mode",
    "hub.verify_token",
    "hub.challenge",
    "challenge",
    "challenge_code",
    "challengeCode",
    "crc_token",
    "bt_challenge",
    "validationToken",
    "verification_token",
    "bodySHA256",
    "hmac",
    "token",
)


def _ask_everything(provider: Provider, odd: Call, secrets: list[Secret], case: Case) -> None:
    for known in (secrets, []):
        provider.verify(odd, known, options=case.options)
        provider.handshake(odd, known, case.options)
        provider.acknowledge(odd, known, case.options)
    identity = provider.identify(odd, case.options)
    assert len(identity.external_id) <= 255
    assert len(identity.type) <= 255
