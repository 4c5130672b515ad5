"""Microsoft Teams: a workflow that starts when its webhook is called, and posts the card it gets.

The connectors of Office 365 (webhook.office.com) that did so before were retired by Microsoft in
May 2026. A workflow answers 202 before it has posted; its address carries its signature (`sig`). It
knows no idempotency key, so a message whose answer was lost may come twice; it then says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from monitoring.channels.message import MAY_BE_A_REPEAT, ChannelKind, Message
from monitoring.channels.web import WebConnection, address_of
from monitoring.models import Channel
from webhooks_project.acceptable import Problem

MAX_TITLE: Final = 250
MAX_TEXT: Final = 6_000  # characters; a message of Teams has 28 KB at most
MAX_FACT: Final = 300
_HOST = re.compile(
    r"(?:[a-z0-9-]+\.)+(?:logic\.azure\.com|environment\.api\.powerplatform\.com)", re.ASCII
)
_RETIRED = re.compile(r"(?:[a-z0-9-]+\.)*(?:webhook\.office\.com|outlook\.office(?:365)?\.com)")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~-])")


class Teams(ChannelKind):
    kind: ClassVar = Channel.Kind.TEAMS
    explanation: ClassVar = (
        "A card in a channel or chat of Microsoft Teams, by a workflow: in the channel's menu "
        "choose Workflows, take “Send webhook alerts to a channel” (it starts when a Teams webhook "
        "request is received), and paste its URL (…logic.azure.com or "
        "…environment.api.powerplatform.com)."
    )
    asks_for: ClassVar = "Workflow URL"

    def problems(self, channel: Channel) -> Iterator[Problem]:
        address = address_of(channel.secret)
        if address is not None and _RETIRED.fullmatch(address.host):
            message = "is a connector's, which Microsoft has retired: make a workflow in its place"
            yield Problem("retired_connector", message, field="secret")
        elif address is None or not _HOST.fullmatch(address.host):
            message = (
                "is the URL of a workflow: https://….logic.azure.com/… or "
                "https://….environment.api.powerplatform.com/…"
            )
            yield Problem("invalid_url", message, field="secret")

    def host_of(self, channel: Channel) -> str:
        address = address_of(channel.secret)
        return address.host if address else ""

    def connect(self) -> TeamsConnection:
        return TeamsConnection()


class TeamsConnection(WebConnection):
    def send(self, message: Message, channel: Channel | None) -> None:
        assert channel is not None  # noqa: S101 - the queue sends none without
        address = address_of(channel.secret)
        assert address is not None  # noqa: S101 - the service keeps no other
        self.post(address, body_of(message), name="Teams", secrets=[channel.secret])


def body_of(message: Message) -> dict[str, Any]:
    """The message as an Adaptive Card of version 1.4, in the envelope that a workflow takes."""
    facts = [*message.facts, ("Account", message.account)]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            {
                "type": "TextBlock",
                "text": _text(message.title, MAX_TITLE),
                "weight": "Bolder",
                "size": "Medium",
                "wrap": True,
                "color": _colour(message),
            },
            {"type": "TextBlock", "text": _text(message.text, MAX_TEXT), "wrap": True},
            {
                "type": "FactSet",
                "facts": [
                    {"title": name, "value": _text(value, MAX_FACT)} for name, value in facts
                ],
            },
        ],
    }
    if message.is_repeat:
        card["body"].append(
            {"type": "TextBlock", "text": MAY_BE_A_REPEAT, "isSubtle": True, "wrap": True}
        )
    if message.url:
        card["actions"] = [
            {"type": "Action.OpenUrl", "title": "Open in the hub", "url": message.url}
        ]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment | {"contentUrl": None}]}


def _colour(message: Message) -> str:
    if message.is_gone:
        return "Default"
    if message.is_over:
        return "Good"
    return "Attention" if message.severity == "critical" else "Warning"


def _text(text: str, limit: int) -> str:
    """The text as it stands: a card reads some Markdown, and one line break as none."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return _MARKDOWN.sub(r"\\\1", cut).replace("\n", "\n\n")
