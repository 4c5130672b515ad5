"""Slack: an incoming webhook, which posts to the one channel that it was made for.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks: a JSON body, answered
200 `ok`; 4xx with a word such as no_service or channel_is_archived for good, 429 with Retry-After.
It knows no idempotency key, so a message whose answer was lost may come twice; it then says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from monitoring.channels.message import MAY_BE_A_REPEAT, ChannelKind, Message
from monitoring.channels.web import WebConnection, address_of
from monitoring.models import Channel
from webhooks_project.acceptable import Problem

HOSTS: Final = ("hooks.slack.com", "hooks.slack-gov.com")
MAX_HEADER: Final = 150  # characters, Slack's own limits of blocks
MAX_SECTION: Final = 3000
MAX_FIELD: Final = 2000
MAX_FIELDS: Final = 10
_PATH = re.compile(r"/services/[A-Za-z0-9_/-]{8,}")


class Slack(ChannelKind):
    kind: ClassVar = Channel.Kind.SLACK
    explanation: ClassVar = (
        "A message in one Slack channel, by an incoming webhook of a Slack app: create an app, "
        "switch on Incoming Webhooks, add one to the channel, and paste its URL "
        "(https://hooks.slack.com/services/…)."
    )
    asks_for: ClassVar = "Webhook URL"

    def problems(self, channel: Channel) -> Iterator[Problem]:
        address = address_of(channel.secret)
        if address is None or address.host not in HOSTS or not _PATH.fullmatch(address.path):
            message = "is the URL of an incoming webhook: https://hooks.slack.com/services/…"
            yield Problem("invalid_url", message, field="secret")

    def host_of(self, channel: Channel) -> str:
        address = address_of(channel.secret)
        return address.host if address else ""

    def connect(self) -> SlackConnection:
        return SlackConnection()


class SlackConnection(WebConnection):
    def send(self, message: Message, channel: Channel | None) -> None:
        assert channel is not None  # noqa: S101 - the queue sends none without
        address = address_of(channel.secret)
        assert address is not None  # noqa: S101 - the service keeps no other
        self.post(address, body_of(message), name="Slack", secrets=[channel.secret])


def body_of(message: Message) -> dict[str, Any]:
    """The message in Block Kit; `text` is what notifications of phones and readers say.

    What a stranger may have written stands in plain text, which Slack does not read for mentions
    or links.
    """
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(f"{_mark(message)} {message.title}", MAX_HEADER)},
        {"type": "section", "text": _plain(message.text or message.title, MAX_SECTION)},
    ]
    facts = [*message.facts, ("Account", message.account)][:MAX_FIELDS]
    fields = [_plain(f"{name}: {value}", MAX_FIELD) for name, value in facts]
    blocks.append({"type": "section", "fields": fields})
    if message.url:
        button = {"type": "button", "text": _plain("Open in the hub", 75), "url": message.url}
        blocks.append({"type": "actions", "elements": [button]})
    if message.is_repeat:
        blocks.append({"type": "context", "elements": [_plain(MAY_BE_A_REPEAT, MAX_SECTION)]})
    return {"text": _escaped(message.title), "blocks": blocks}


def _mark(message: Message) -> str:
    if message.is_gone:
        return "⚪"
    if message.is_over:
        return "🟢"
    return "🔴" if message.severity == "critical" else "🟡"


def _plain(text: str, limit: int) -> dict[str, Any]:
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return {"type": "plain_text", "text": cut, "emoji": False}


def _escaped(text: str) -> str:
    # https://docs.slack.dev/messaging/formatting-message-text: these three begin what is not text.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
