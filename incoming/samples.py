"""A call as a source's provider would make it, signed with the source's secret and sent for real.

A provider that verifies with a secret can also sign with it. One that signs with a key of its own
cannot be imitated: that is said, and nothing is made up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import requests
from django.conf import settings

from incoming.errors import SampleNotPossible
from incoming.masking import mask_of
from incoming.models import Source
from incoming.providers import Call, Identity, Refused
from incoming.sources import KnownSource, known_source
from monitoring import journal
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.redaction import redact_headers

SEND_SECONDS: Final = 10
MAX_ANSWER_BYTES: Final = 16 * 1024
DEFAULT_TYPE: Final = "sample.created"
_JSON_TYPE: Final = "application/json"


@dataclass(frozen=True)
class SampleResult:
    """What was sent, proofs and secrets masked, and what the door answered."""

    headers: dict[str, str]
    body: bytes
    status: int
    answer: str


def sample_call(
    source: KnownSource, *, type_: str = "", body: bytes | None = None, now: float
) -> Call:
    """A signed call with an id of its own and this type; `body` in place of the one made up.

    A provider whose proof stands in the body writes it into a body that is given, too.
    Raises SampleNotPossible where the source has no secret, where its provider's proof cannot be
    made with it, and where the door would refuse the call.
    """
    secrets = source.valid_secrets(clock.now())
    if not secrets:
        raise SampleNotPossible("the source has no secret to sign with", reason="secret_missing")
    provider, options = source.provider, source.options
    identity = Identity(external_id=str(new_id()), type=type_ or DEFAULT_TYPE)
    draft = provider.sample(_blank_call(source, now), identity, options)
    call = provider.sign(draft if body is None else _with_body(draft, body), secrets[0], options)
    if call is None:
        message = f"the hub cannot make {provider.label}'s proof itself"
        raise SampleNotPossible(message, reason="unsignable")
    verdict = provider.verify(
        call, secrets, tolerance_seconds=source.tolerance_seconds, options=options
    )
    if isinstance(verdict, Refused):
        message = f"the door would refuse it: {verdict.cause}"
        raise SampleNotPossible(message, reason=str(verdict.cause))
    return call


def send_sample(*, source: Source, type_: str = "", body: bytes | None = None) -> SampleResult:
    """Send a sample through the hub's own door, as any caller would.

    Raises SampleNotPossible, also where the door cannot be reached.
    """
    known = known_source(source)
    call = sample_call(known, type_=type_, body=body, now=clock.now().timestamp())
    query = call.url.partition("?")[2]
    door = f"{settings.PUBLIC_URL}{source.path}"
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.request(
                call.method,
                f"{door}?{query}" if query else door,
                data=call.body,
                headers=dict(call.headers),
                timeout=SEND_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            message = f"the hub's own address {settings.PUBLIC_URL} cannot be reached"
            raise SampleNotPossible(message, reason="unreachable") from error
    journal.record_change(
        account_id=source.account_id,
        action="source.sample_sent",
        subject=source,
        after={"type": type_, "status": answer.status_code},
    )
    mask = mask_of(source)
    return SampleResult(
        headers={name: mask(text) for name, text in redact_headers(call.headers).items()},
        body=mask(call.body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"),
        status=answer.status_code,
        answer=answer.content[:MAX_ANSWER_BYTES].decode("utf-8", "replace"),
    )


def _blank_call(source: KnownSource, now: float) -> Call:
    return Call(
        method="POST" if "POST" in source.methods else min(source.methods),
        url=source.url,
        headers={"content-type": _JSON_TYPE},
        body=b"",
        received_at=now,
    )


def _with_body(draft: Call, body: bytes) -> Call:
    """The call with a body of someone's own, said to be JSON where it is."""
    call = replace(draft, body=body)
    is_json = call.json is not None
    return replace(call, headers={**call.headers, "content-type": _JSON_TYPE}) if is_json else call
