"""What the engine does for the security that a subscription asks for; most ask for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from subscriptions.models import Subscription
from subscriptions.security import FIELDS, opened_security
from webhooks_project.lib import jwe
from webhooks_project.lib.authentication import ClientCredentials, parse_authentication
from webhooks_project.lib.faults import Fault
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.outbound import Identity
from webhooks_project.lib.redaction import MASK
from webhooks_project.lib.signature_templates import SignatureTemplate, parse_template
from webhooks_project.lib.signing import PRIVATE_PREFIX, Key, key_of, signature_header

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Security:
    """How requests to one endpoint are signed, sealed and vouched for.

    `lines` are the header lines that are always the same. `source` is the columns that it was made
    of, still sealed.
    """

    source: tuple[Any, ...] = field(default=(), repr=False)
    is_readable: bool = True
    template: SignatureTemplate | None = None
    lines: tuple[str, ...] = field(default=(), repr=False)
    credentials: ClientCredentials | None = None
    identity: Identity | None = None
    recipient: jwe.Recipient | None = None

    def keys(self, secret: str) -> list[Key]:
        """What a secret signs with here: no Ed25519 key signs by a template.

        Raises ValueError for what is no secret.
        """
        if self.template is None:
            return [key_of(secret)]
        return [] if secret.startswith(PRIVATE_PREFIX) else [secret.encode()]

    def seal(self, body: bytes, content_type: str) -> tuple[bytes, str]:
        """The bytes to send and their type."""
        if self.recipient is None:
            return body, content_type
        return self.recipient.encrypt(body, content_type=content_type), jwe.CONTENT_TYPE

    def header_lines(
        self, keys: Sequence[Key], *, message_id: str, timestamp: int, body: bytes, token: str = ""
    ) -> list[str]:
        """The signature over what is sent, and whatever else the endpoint wants to see."""
        if self.template is None:
            signature = signature_header(
                keys, message_id=message_id, timestamp=timestamp, body=body
            )
            lines = [f"webhook-signature: {signature}"]
        else:
            shared = [key for key in keys if isinstance(key, bytes)]
            lines = self.template.lines(
                shared, message_id=message_id, timestamp=timestamp, body=body
            )
        lines.extend(self.lines)
        if token:
            lines.append(f"Authorization: Bearer {token}")
        return lines

    def shown(self, content_type: str) -> dict[str, str]:
        """The headers that it makes, as they are kept with an attempt: their names."""
        headers = {"content-type": content_type if self.recipient is None else jwe.CONTENT_TYPE}
        if self.template is None:
            headers["webhook-signature"] = MASK
        else:
            headers |= {name.lower(): MASK for name in self.template.names}
        headers |= {line.partition(":")[0].lower(): MASK for line in self.lines}
        if self.credentials is not None:
            headers["authorization"] = MASK
        return headers


PLAIN: Final = Security()


def security_of(subscription: Subscription, last: Security = PLAIN) -> Security:
    """The subscription's security; the `last` one itself where nothing has changed since."""
    source = tuple(subscription.__dict__[name] for name in FIELDS)
    if not any(source):
        return PLAIN
    if source == last.source:
        return last
    try:
        return _made(opened_security(subscription), source)
    except (CannotDecrypt, Fault) as error:
        log.error("security unreadable", subscription=str(subscription.pk), error=str(error))
        return Security(source=source, is_readable=False)


def _made(settings: dict[str, Any], source: tuple[Any, ...]) -> Security:
    lines = [f"{name}: {value}" for name, value in settings["custom_headers"].items()]
    credentials: ClientCredentials | None = None
    if settings["authentication"]:
        authentication = parse_authentication(settings["authentication"])
        if isinstance(authentication, ClientCredentials):
            credentials = authentication
        else:
            lines.append(authentication.line)
    template, key = settings["signature_template"], settings["encryption_key"]
    return Security(
        source=source,
        template=parse_template(template) if template else None,
        lines=tuple(lines),
        credentials=credentials,
        identity=_identity(settings),
        recipient=jwe.parse_recipient(key) if key else None,
    )


def _identity(settings: dict[str, Any]) -> Identity | None:
    identity = Identity(
        certificate=settings["client_certificate"].encode(),
        key=settings["client_key"].encode(),
        authorities=settings["ca_certificates"].encode(),
    )
    return identity if identity.certificate or identity.authorities else None
