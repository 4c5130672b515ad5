"""How an endpoint knows us, and we it: what a subscription may have set, and how it is shown.

The settings, by their names in the API:

- `signature_template`: another convention of signing, an object; None for Standard Webhooks;
- `custom_headers`: an object, a value by each name;
- `authentication`: an object with its `kind`; None for none;
- `client_certificate` and `client_key`: PEM texts, for mutual TLS;
- `ca_certificates`: a PEM text, in place of the authorities that everybody trusts;
- `encryption_key`: the receiver's public key, a JWK or a PEM text.

Secrets are write-only: they are shown masked, and a mask that is sent back keeps what is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from subscriptions.conf import address_policy
from subscriptions.errors import SubscriptionNotAcceptable
from subscriptions.models import Subscription
from webhooks_project.acceptable import Problem, headers, refuse
from webhooks_project.lib import clock
from webhooks_project.lib.authentication import (
    SECRETS,
    ClientCredentials,
    parse_authentication,
)
from webhooks_project.lib.certificates import check_authorities, check_identity
from webhooks_project.lib.faults import Fault
from webhooks_project.lib.json_schema import escaped
from webhooks_project.lib.jwe import parse_recipient
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.redaction import MASK
from webhooks_project.lib.signature_templates import parse_template
from webhooks_project.lib.ssrf import check_endpoint

FIELDS: Final = (
    "signature_template",
    "custom_headers",
    "authentication",
    "client_certificate",
    "client_key",
    "ca_certificates",
    "encryption_key",
)
MAX_HEADERS: Final = 20
MAX_HEADER_LENGTH: Final = 4096  # characters of one value
MAX_HEADERS_BYTES: Final = 8192  # of all together: what common servers take of a whole head
_LONG: Final = ("client_certificate", "ca_certificates", "encryption_key")
_PORTS: Final = {"http": 80, "https": 443}
UNREADABLE: Final = "[unreadable]"  # shown of what cannot be opened with the keys there are


def accept_security(
    fields: Mapping[str, Any], subscription: Subscription | None = None
) -> dict[str, Any]:
    """The columns that the settings among the fields are kept in.

    They are judged together with those that the subscription keeps. May look the name of a token
    address up. Raises SubscriptionNotAcceptable, which names every problem.
    """
    settings = {name: fields[name] for name in FIELDS if name in fields}
    if not settings:
        return {}
    present = {} if subscription is None else _present(subscription)
    wanted = _without_masks(settings, present)
    refuse(check_security(wanted, present), SubscriptionNotAcceptable)
    return {name: _stored(name, value) for name, value in wanted.items()}


def moving_credentials(
    subscription: Subscription, url: str, changes: Mapping[str, Any]
) -> list[Problem]:
    """A problem for each of the settings that another host would be sent as it is.

    Those that are named anew, or taken away, in the same call are none; a mask names nothing.
    """
    if _same_audience(subscription.url, url):
        return []
    masked = {
        "custom_headers": MASK in _texts(changes.get("custom_headers")),
        "authentication": MASK in _texts(changes.get("authentication")),
    }
    return [
        Problem(
            "credentials_not_confirmed",
            "The URL is of another host, which would be sent these credentials: set them anew, "
            "or say keep_credentials.",
            field=name,
        )
        for name, is_masked in masked.items()
        if subscription.__dict__[name] and (name not in changes or is_masked)
    ]


def _texts(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else []


def _same_audience(before: str, after: str) -> bool:
    """Whether who hears the requests stays the same: the host and the port, and no less secret."""
    old, new = urlsplit(before), urlsplit(after)
    if old.hostname != new.hostname or (old.scheme, new.scheme) == ("https", "http"):
        return False
    if old.scheme != new.scheme and (old.port, new.port) == (None, None):
        return True
    return (old.port or _PORTS.get(old.scheme)) == (new.port or _PORTS.get(new.scheme))


def check_security(
    settings: Mapping[str, Any], present: Mapping[str, Any] | None = None
) -> list[Problem]:
    """What is wrong with the settings, beside the present ones that stay."""
    checks: dict[str, Callable[[Any], object]] = {
        "signature_template": parse_template,
        "authentication": _check_authentication,
        "ca_certificates": _check_authorities,
        "encryption_key": lambda value: parse_recipient(_key_text(value)),
    }
    problems: list[Problem] = []
    for name, check in checks.items():
        if settings.get(name):
            try:
                check(settings[name])
            except Fault as fault:
                problems.append(Problem(fault.code, fault.message, fault.path, name))
    whole = {**(present or {}), **settings}
    problems.extend(_identity_problems(settings, whole))
    problems.extend(replace(problem, field="custom_headers") for problem in _headers(whole))
    return problems


def opened_security(subscription: Subscription) -> dict[str, Any]:
    """The subscription's settings with their secrets. Raises CannotDecrypt."""
    return {
        "signature_template": subscription.signature_template,
        "custom_headers": _opened(subscription.custom_headers) or {},
        "authentication": _opened(subscription.authentication),
        "client_certificate": subscription.client_certificate,
        "client_key": subscription.client_key,
        "ca_certificates": subscription.ca_certificates,
        "encryption_key": subscription.encryption_key,
    }


def _present(subscription: Subscription) -> dict[str, Any]:
    """The settings there are, without those whose encryption key is missing."""
    try:
        return opened_security(subscription)
    except CannotDecrypt:
        return {
            "signature_template": subscription.signature_template,
            "custom_headers": {},
            "authentication": None,
            "client_certificate": subscription.client_certificate,
            "client_key": "",
        }


def shown_security(subscription: Subscription) -> dict[str, Any]:
    """The settings as they are read, with masks where secrets are."""
    return {
        "signature_template": subscription.signature_template,
        "custom_headers": _shown_headers(subscription),
        "authentication": _shown_authentication(subscription),
        "client_certificate": subscription.client_certificate,
        "client_key": MASK if subscription.__dict__["client_key"] else "",
        "ca_certificates": subscription.ca_certificates,
        "encryption_key": subscription.encryption_key,
    }


def audited_security(subscription: Subscription) -> dict[str, Any]:
    """What is set, for the audit chain: masked, and long texts by their SHA-256."""
    return {
        name: f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"
        if value and name in _LONG
        else value
        for name, value in shown_security(subscription).items()
    }


def _shown_headers(subscription: Subscription) -> dict[str, str]:
    try:
        return dict.fromkeys(_opened(subscription.custom_headers) or {}, MASK)
    except CannotDecrypt:
        return {UNREADABLE: MASK}


def _shown_authentication(subscription: Subscription) -> dict[str, Any] | None:
    try:
        document = _opened(subscription.authentication)
    except CannotDecrypt:
        return {"kind": UNREADABLE}
    return document and {**document, SECRETS[document["kind"]]: MASK}


def _without_masks(settings: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with what is there already in place of every mask."""
    wanted = dict(settings)
    if not present:
        return wanted
    if wanted.get("client_key") == MASK:
        wanted["client_key"] = present["client_key"]
    headers = wanted.get("custom_headers")
    if isinstance(headers, Mapping):
        wanted["custom_headers"] = {
            name: present["custom_headers"].get(name, value) if value == MASK else value
            for name, value in headers.items()
        }
    authentication, kept = wanted.get("authentication"), present["authentication"]
    if isinstance(authentication, Mapping) and kept:
        secret = SECRETS[kept["kind"]]
        # Not for another user or address: whoever may change those does not learn the secret.
        if authentication.get(secret) == MASK and _audience(authentication) == _audience(kept):
            wanted["authentication"] = {**authentication, secret: kept[secret]}
    return wanted


def _audience(authentication: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(
        authentication.get(name) for name in ("kind", "username", "token_url", "client_id")
    )


def _check_authentication(document: Any) -> None:
    parsed = parse_authentication(document)
    secret = SECRETS[document["kind"]]
    if document[secret] == MASK:
        raise Fault("secret_missing", "The mask stands for no secret here.", path=f"/{secret}")
    if isinstance(parsed, ClientCredentials):
        problem = check_endpoint(parsed.token_url, address_policy())
        if problem is not None:
            raise Fault(str(problem), f"The URL is refused: {problem}.", path="/token_url")


def _check_authorities(text: Any) -> None:
    if not isinstance(text, str):
        raise Fault("not_a_text", "Certificates are a PEM text.")
    check_authorities(text, now=clock.now())


def _identity_problems(settings: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[Problem]:
    names = ("client_certificate", "client_key")
    if not settings.keys() & set(names) or not any(whole.get(name) for name in names):
        return
    for name in names:
        if not whole.get(name):
            yield Problem("required", "A client certificate and its key go together.", field=name)
            return
        if not isinstance(whole[name], str):
            yield Problem("not_a_text", "That is no PEM text.", field=name)
            return
    try:
        check_identity(whole["client_certificate"], whole["client_key"], now=clock.now())
    except Fault as fault:
        yield Problem(fault.code, fault.message, field=f"client_{fault.path.removeprefix('/')}")


def _headers(whole: Mapping[str, Any]) -> Iterator[Problem]:
    custom = whole.get("custom_headers") or {}
    yield from headers(custom, limit=MAX_HEADERS, length=MAX_HEADER_LENGTH)
    if not isinstance(custom, Mapping):
        return
    if sum(len(str(name)) + len(str(value)) for name, value in custom.items()) > MAX_HEADERS_BYTES:
        yield Problem("too_large", f"All headers together have at most {MAX_HEADERS_BYTES} bytes.")
    taken = {"authorization"} if whole.get("authentication") else set()
    try:
        if whole.get("signature_template"):
            taken |= {name.lower() for name in parse_template(whole["signature_template"]).names}
    except Fault:
        pass  # said at its own field
    for name, value in custom.items():
        pointer = f"/{escaped(str(name))}"
        if str(name).lower() in taken:
            yield Problem("repeated", f"The header {name} is set elsewhere too.", pointer)
        if value == MASK:
            yield Problem("secret_missing", "The mask stands for no value here.", pointer)


def _key_text(value: Any) -> str:
    """A key as it is kept: a JWK may come as an object or as its text."""
    if isinstance(value, Mapping):
        try:
            return orjson.dumps(value).decode()
        except TypeError:
            return ""
    return value if isinstance(value, str) else ""


def _stored(name: str, value: Any) -> Any:
    if name == "signature_template":
        return value or None
    if name in ("custom_headers", "authentication"):
        return orjson.dumps(value).decode() if value else ""
    return _key_text(value).strip() if value else ""


def _opened(text: str) -> Any:
    return orjson.loads(text) if text else None
