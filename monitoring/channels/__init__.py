"""The ways to people: one module for each kind of channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from monitoring.channels.email import Email
from monitoring.channels.message import ChannelKind, Connection, Message, SendFailed
from monitoring.channels.pagerduty import PagerDuty
from monitoring.channels.slack import Slack
from monitoring.channels.teams import Teams
from monitoring.channels.webhook import Webhook
from monitoring.models import Channel

__all__ = ["KINDS", "ChannelKind", "Connection", "Message", "SendFailed", "kind_of"]

KINDS: Final[Mapping[str, ChannelKind]] = {
    found.kind.value: found for found in (Email(), Slack(), Teams(), PagerDuty(), Webhook())
}


def kind_of(name: str | Channel.Kind) -> ChannelKind:
    return KINDS[str(name)]
