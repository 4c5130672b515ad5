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
from collections.abc import Mapping
from typing import Any, Final

import orjson

from subscriptions.conf import address_policy
from subscriptions.errors import SecurityNotAcceptable
from subscriptions.models import Subscription
from webhooks_project.lib import clock
from webhooks_project.lib.authentication import (
    SECRETS,
    ClientCredentials,
    parse_authentication,
)
from webhooks_project.lib.certificates import check_authorities, check_identity
from webhooks_project.lib.custom_headers import check_headers
from webhooks_project.lib.faults import Fault
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
_LONG: Final = ("client_certificate", "ca_certificates", "encryption_key")
UNREADABLE: Final = "[unreadable]"  # shown of what cannot be opened with the keys there are


def accept_security(
    settings: Mapping[str, Any], subscription: Subscription | None = None
) -> dict[str, Any]:
    """The columns that these settings are kept in, for a new or the present subscription.

    Only what is named is judged and given back, but together with what stays. May look the name
    of a token address up. Raises SecurityNotAcceptable, which names every fault.
    """
    wanted = _without_masks(settings, subscription)
    faults = check_security(wanted, subscription)
    if faults:
        raise SecurityNotAcceptable(
            "; ".join(f"{fault.path}: {fault.message}" for fault in faults),
            errors=[fault.as_json() for fault in faults],
        )
    return {name: _stored(name, value) for name, value in wanted.items()}


def check_security(
    settings: Mapping[str, Any], subscription: Subscription | None = None
) -> list[Fault]:
    """What is wrong with the settings, beside those that the subscription keeps."""
    checks = {
        "signature_template": parse_template,
        "custom_headers": _check_headers,
        "authentication": _check_authentication,
        "ca_certificates": _check_authorities,
        "encryption_key": lambda value: parse_recipient(_key_text(value)),
    }
    faults: list[Fault] = []
    for name, check in checks.items():
        if settings.get(name):
            try:
                check(settings[name])
            except Fault as fault:
                faults.append(fault.below(f"/{name}"))
    whole = {**({} if subscription is None else _present(subscription)), **settings}
    faults.extend(_check_identity(settings, whole))
    return faults or _check_names(whole)


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
        name: f"sha256:{hashlib.sha256(value.encode()).hexdigest()}" if name in _LONG else value
        for name, value in shown_security(subscription).items()
        if value
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


def _without_masks(
    settings: Mapping[str, Any], subscription: Subscription | None
) -> dict[str, Any]:
    """The settings with what is there already in place of every mask."""
    wanted = dict(settings)
    if subscription is None or MASK not in str(settings):
        return wanted
    present = _present(subscription)
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


def _check_headers(document: Any) -> None:
    for name, value in check_headers(document).items():
        if value == MASK:
            raise Fault("secret_missing", "The mask stands for no value here.", path=f"/{name}")


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


def _check_identity(settings: Mapping[str, Any], whole: Mapping[str, Any]) -> list[Fault]:
    certificate, key = whole.get("client_certificate"), whole.get("client_key")
    if not settings.keys() & {"client_certificate", "client_key"} or not (certificate or key):
        return []
    for name, value in (("client_certificate", certificate), ("client_key", key)):
        if not isinstance(value, str):
            return [Fault("not_a_text", "A certificate and a key are PEM texts.", path=f"/{name}")]
        if not value:
            message = "A client certificate and its key are set together."
            return [Fault(f"{name}_missing", message, path=f"/{name}")]
    try:
        check_identity(str(certificate), str(key), now=clock.now())
    except Fault as fault:
        return [Fault(fault.code, fault.message, path=fault.path.replace("/", "/client_", 1))]
    return []


def _check_names(whole: Mapping[str, Any]) -> list[Fault]:
    """Whether two settings would add the same header. Each is right in itself."""
    taken = set()
    if whole.get("authentication"):
        taken.add("authorization")
    if whole.get("signature_template"):
        taken |= {name.lower() for name in parse_template(whole["signature_template"]).names}
    return [
        Fault("header_twice", f"The header {name} is set elsewhere too.",
              path=f"/custom_headers/{name.replace('~', '~0').replace('/', '~1')}")
        for name in whole.get("custom_headers") or {}
        if name.lower() in taken
    ]  # fmt: skip


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
