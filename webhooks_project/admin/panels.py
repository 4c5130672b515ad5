"""What stands on a row's page below its fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol

from webhooks_project.admin.values import Text, label, moment
from webhooks_project.lib import clock
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.redaction import last_four


@dataclass(frozen=True)
class Table:
    """Rows of texts and links. A cell that is no SafeString is escaped."""

    template: ClassVar = "admin/console/table.html"
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    empty: str = "None."
    more: str = ""  # where the rest is

    @property
    def has_pairs(self) -> bool:
        """Whether each row is a figure and its value, which a narrow page sets side by side."""
        return tuple(self.headers) == ("Figure", "Value")

    @property
    def table(self) -> dict[str, Any]:
        """As the table component takes it."""
        return {"headers": self.headers, "rows": self.rows}


@dataclass(frozen=True)
class Texts:
    """Blocks of preformatted text."""

    template: ClassVar = "admin/console/texts.html"
    title: str
    blocks: Sequence[Text]
    empty: str = "Empty."


@dataclass(frozen=True)
class Custom:
    """Anything else, by a template of its own."""

    title: str
    template: str
    context: dict[str, Any] = field(default_factory=dict)


Panel = Table | Texts | Custom


class _SealedSecret(Protocol):
    @property
    def secret(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime | None: ...
    def is_valid(self, now: datetime) -> bool: ...


def secrets_table(title: str, secrets: Iterable[_SealedSecret]) -> Table:
    """Secrets by their ends, which is all that is ever shown of them again."""
    now = clock.now()
    rows = [
        [
            shown_end(secret),
            label("valid" if secret.is_valid(now) else "ended", {"valid": "success"}),
            moment(secret.created_at),
            moment(secret.expires_at) if secret.expires_at else "never",
        ]
        for secret in secrets
    ]
    return Table(
        title, ["Ends in", "State", "Created", "Valid until"], rows, empty="There is none."
    )


def shown_end(secret: _SealedSecret) -> str:
    """The last four characters of a sealed secret."""
    try:
        return last_four(secret.secret)
    except CannotDecrypt:
        return "cannot be read: its encryption key is missing"
