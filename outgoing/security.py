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
    # The headers that it makes, in lower case, whose values are not kept.
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = [line.partition(":")[0] for line in self.lines]
        if self.template is not None:
            names += self.template.names
        if self.credentials is not None:
            names.append("Authorization")
        object.__setattr__(self, "names", tuple(name.lower() for name in names))

    def keys(self, secret: str) -> list[Key]:
        """What a secret signs with here: no Ed25519 key signs by a template.

        Raises ValueError for what is no secret.
        """
        if self.template is None:
            return [key_of(secret)]
        return [] if secret.startswith(PRIVATE_PREFIX) else [secret.encode()]

    def seal(self, body: bytes, content: list[str]) -> tuple[bytes, list[str]]:
        """The bytes to send, and the header lines that say what they are.

        What an event brings along gives way to what the subscription sets.
        """
        if self.names:
            content = [line for line in content if line.partition(":")[0].lower() not in self.names]
        if self.recipient is None:
            return body, content
        kind, *others = content
        content_type = kind.removeprefix("Content-Type: ")
        sealed = self.recipient.encrypt(body, content_type=content_type)
        return sealed, [f"Content-Type: {jwe.CONTENT_TYPE}", *others]

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


ORDINARY: Final = Security()


def security_of(subscription: Subscription, last: Security = ORDINARY) -> Security:
    """The subscription's security; the `last` one itself where nothing has changed since."""
    source = tuple(subscription.__dict__[name] for name in FIELDS)
    if not any(source):
        return ORDINARY
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
