"""What a channel is given to send, and how it says that it could not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol
from uuid import UUID

from django.db import transaction

from monitoring.models import Channel, Notification
from webhooks_project.acceptable import Problem

MAY_BE_A_REPEAT: Final = (
    "This may have come before: the hub stopped, or heard no answer, while it was sent."
)


@dataclass(frozen=True, slots=True)
class Message:
    """A notification as people or machines are to have it.

    `key` is the same however often it is sent. `facts` are pairs of a name and a value, `data` the
    same for a machine. With `is_repeat` it is not known whether an earlier try has arrived. With
    `is_gone` the incident was closed, and has not recovered.
    """

    key: UUID
    account_id: UUID
    account: str
    recipient: str
    title: str
    text: str
    moment: str = ""
    severity: str = ""
    incident_id: UUID | None = None
    subscription_id: UUID | None = None
    url: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    is_repeat: bool = False
    is_gone: bool = False
    is_test: bool = False

    @property
    def is_over(self) -> bool:
        return self.moment == Notification.Moment.RESOLVED


class SendFailed(Exception):
    """A message that was not taken. The text holds no secret: it is kept and shown.

    With `is_final` the same try would have the same answer; with `is_away` the next message to
    that host would fare the same; `retry_after` is what the other side asks for, in seconds.
    """

    def __init__(
        self,
        cause: str,
        text: str,
        *,
        is_final: bool = False,
        is_away: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(text)
        self.cause = cause
        self.is_final = is_final
        self.is_away = is_away
        self.retry_after = retry_after


class Connection(Protocol):
    """What one kind's messages of a turn go through. It connects with the first of them."""

    def send(self, message: Message, channel: Channel | None) -> None:
        """Send it. Raises SendFailed."""

    def close(self) -> None: ...


class ChannelKind(ABC):
    """A kind of channel: what a row of it needs, and how a message gets there.

    `takes` are the moments of an incident that it is told of. What `people` read is combined: those
    over the hourly limit, and what is resolved at about the same time; a program is told of each.
    What is sent `in_database` is committed together with the note that it was sent.
    """

    kind: ClassVar[Channel.Kind]
    explanation: ClassVar[str]
    asks_for: ClassVar[str] = ""  # what its secret is; empty where it has none
    has_region: ClassVar[bool] = False
    has_recipients: ClassVar[bool] = False
    takes: ClassVar[frozenset[str]] = frozenset(Notification.Moment) - {
        Notification.Moment.ACKNOWLEDGED
    }
    people: ClassVar[bool] = True
    in_database: ClassVar[bool] = False

    @abstractmethod
    def problems(self, channel: Channel) -> Iterator[Problem]:
        """Why a row cannot be a channel of this kind; each problem names its field."""

    @abstractmethod
    def host_of(self, channel: Channel) -> str:
        """What its messages go through; see `Notification.host`."""

    @abstractmethod
    def connect(self) -> Connection: ...

    def while_sending(self) -> AbstractContextManager[Any]:
        """What a message and the note of it are sent within: one transaction where it is sent in
        the database; else none, so that nobody waits for a lock while the other side answers."""
        return transaction.atomic() if self.in_database else nullcontext()

    def passes_at_once(self, moment: str) -> bool:
        """Whether a message of this moment disturbs nobody, and so neither waits for the end of
        quiet hours nor counts against the limit."""
        return False
