"""A call as a source's provider would make it, signed with the source's secret and sent for real.

What a recipe verifies it can also sign. A provider that signs with a key of its own, or in a way
that only its own module knows, cannot be imitated: that is said, and nothing is made up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import requests
from django.conf import settings

from incoming.errors import SampleNotPossible
from incoming.masking import mask_of
from incoming.models import Source
from incoming.providers import Call, Provider, Secret, Verified
from incoming.providers.encoding import key_bytes
from incoming.providers.generic_hmac import GenericHmac, recipe_for
from incoming.providers.recipe import Recipe
from incoming.providers.shared_token import BasicAuth, SharedToken
from incoming.providers.standard_webhooks import StandardWebhooks
from incoming.providers.versions import Versions
from incoming.sources import KnownSource, known_source
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.redaction import redact_headers

SEND_SECONDS: Final = 10
MAX_ANSWER_BYTES: Final = 16 * 1024
DEFAULT_TYPE: Final = "sample.created"

_PLACE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class SampleResult:
    """What was sent, proofs and secrets masked, and what the door answered."""

    headers: dict[str, str]
    body: bytes
    status: int
    answer: str


@dataclass
class _Draft:
    """A call in the making: values by the places that a provider looks at."""

    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    payload: Any = field(default_factory=dict)
    body: bytes | None = None

    def put(self, locator: str, value: str) -> None:
        """Write a value where a locator, or a template of them, will find it."""
        if "{" in locator:
            names = _PLACE.findall(locator)
            for name, part in zip(names, _parted(locator, value), strict=True):
                self.put(name, part)
            return
        kind, _, name = locator.partition(":")
        if kind == "header":
            self.headers[name.lower()] = value
        elif kind == "query":
            self.query[name] = value
        elif kind == "json":
            self.payload = _set(self.payload, name.split("."), value)

    def call(self, source: KnownSource, now: float) -> Call:
        body = orjson.dumps(self.payload) if self.body is None else self.body
        query = urlencode(self.query)
        return Call(
            method="POST" if "POST" in source.methods else min(source.methods),
            url=f"{source.url}?{query}" if query else source.url,
            headers={"content-type": "application/json", **self.headers},
            body=body,
            received_at=now,
        )


def sample_call(
    source: KnownSource, *, type_: str = "", body: bytes | None = None, now: float
) -> Call:
    """A signed call with an id of its own and this type; `body` in place of the one made up.

    Raises SampleNotPossible where the source has no secret, and where its provider's proof cannot
    be made with it.
    """
    secrets = source.valid_secrets(clock.now())
    if not secrets:
        raise SampleNotPossible("the source has no secret to sign with", reason="secret_missing")
    provider = source.provider
    shape: Any = recipe_for(source.options) if isinstance(provider, GenericHmac) else provider
    draft = _Draft(body=body)
    if shape.id:
        draft.put(shape.id[0], str(new_id()))
    if shape.type:
        draft.put(shape.type[0], type_ or DEFAULT_TYPE)
    call = _proved(shape, draft, source, secrets[0], now)
    verdict = provider.verify(
        call, secrets, tolerance_seconds=source.tolerance_seconds, options=source.options
    )
    if not isinstance(verdict, Verified):
        raise _unsignable(provider)
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
    mask = mask_of(source)
    return SampleResult(
        headers={name: mask(text) for name, text in redact_headers(call.headers).items()},
        body=mask(call.body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"),
        status=answer.status_code,
        answer=answer.content[:MAX_ANSWER_BYTES].decode("utf-8", "replace"),
    )


def _proved(
    shape: Provider | Recipe, draft: _Draft, source: KnownSource, secret: Secret, now: float
) -> Call:
    if isinstance(shape, Versions):
        return _proved(shape.versions[0], draft, source, secret, now)
    if isinstance(shape, StandardWebhooks):
        draft.headers["webhook-id"] = draft.headers.get("webhook-id") or f"msg_{new_id().hex}"
        return _signed(shape.v1, draft, source, secret, now)
    if isinstance(shape, Recipe):
        return _signed(shape, draft, source, secret, now)
    if isinstance(shape, SharedToken):
        draft.put(shape.token_at[0], secret.value)
        return draft.call(source, now)
    if isinstance(shape, BasicAuth):
        token = base64.b64encode(secret.value.encode()).decode()
        draft.headers["authorization"] = f"Basic {token}"
        return draft.call(source, now)
    raise _unsignable(source.provider)


def _signed(recipe: Recipe, draft: _Draft, source: KnownSource, secret: Secret, now: float) -> Call:
    stamp = _stamp(now, recipe.timestamp_unit)
    items: dict[str, str] = {}
    for locator in (recipe.timestamp, *_PLACE.findall(recipe.message)):
        value = stamp if locator == recipe.timestamp else str(new_id())
        if locator.startswith("signature:"):
            items[locator.partition(":")[2]] = value
        elif locator == recipe.timestamp or (
            locator.partition(":")[0] == "header"
            and locator.partition(":")[2].lower() not in draft.headers
        ):
            draft.put(locator, value)
    call = draft.call(source, now)
    message = recipe.signed_message(call, items, secret)
    key = key_bytes(secret.value, recipe.key)
    if message is None or key is None or recipe.algorithm not in ("hmac", "digest"):
        raise _unsignable(source.provider)
    digest = (
        hmac.digest(key, message, recipe.hash)
        if recipe.algorithm == "hmac"
        else hashlib.new(recipe.hash, message).digest()
    )
    text = recipe.prefix + _encoded(digest, recipe.encoding)
    if recipe.version_key:
        pairs = [f"{name}={value}" for name, value in items.items()]
        text = (recipe.split or ",").join([*pairs, f"{recipe.version_key}={text}"])
    draft.headers[recipe.signature_headers[0]] = text
    return draft.call(source, now)


def _unsignable(provider: Provider) -> SampleNotPossible:
    return SampleNotPossible(
        f"the hub cannot make {provider.label}'s proof itself", reason="unsignable"
    )


def _stamp(now: float, unit: str) -> str:
    if unit == "ms":
        return str(int(now * 1000))
    if unit in ("iso", "any"):
        return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(int(now))


def _encoded(digest: bytes, encoding: str) -> str:
    match encoding:
        case "base64":
            return base64.b64encode(digest).decode()
        case "base64url":
            return base64.urlsafe_b64encode(digest).decode().rstrip("=")
        case "base64-of-hex":
            return base64.b64encode(digest.hex().encode()).decode()
    return digest.hex()


def _parted(template: str, value: str) -> list[str]:
    """The values that make a template give `value`; made-up ones where it is of another shape."""
    pieces = _PLACE.split(template)
    pattern = "".join("(.+?)" if n % 2 else re.escape(piece) for n, piece in enumerate(pieces))
    found = re.fullmatch(pattern, value)
    if found is not None:
        return list(found.groups())
    return [value, *["sample"] * (len(pieces) // 2 - 1)]


def _set(payload: Any, path: list[str], value: str) -> Any:
    """The payload with the value at the path; lists where the path has `*` or a number."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if step == "*" or step.isdecimal():
        items = payload if isinstance(payload, list) and payload else [{}]
        return [_set(items[0], rest, value), *items[1:]]
    mapping = payload if isinstance(payload, dict) else {}
    return {**mapping, step: _set(mapping.get(step, {}), rest, value)}
