"""PagerDuty: the Events API v2.

https://developer.pagerduty.com/docs/events-api-v2-overview: POST /v2/enqueue with a service's
routing key, answered 202; 400 for good, 429 and 5xx to be tried again. `dedup_key` is the
incident's, so an event sent twice is one alert there, and what is resolved here is resolved there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from monitoring.channels.message import ChannelKind, Message
from monitoring.channels.web import Address, WebConnection
from monitoring.models import Channel, Notification
from webhooks_project.acceptable import Problem

Moment = Notification.Moment

HOSTS: Final = {
    Channel.Region.US: "events.pagerduty.com",
    Channel.Region.EU: "events.eu.pagerduty.com",
}
PATH: Final = "/v2/enqueue"
ACTIONS: Final = {Moment.ACKNOWLEDGED: "acknowledge", Moment.RESOLVED: "resolve"}
MAX_SUMMARY: Final = 1024
MAX_DETAIL: Final = 4000
_KEY = re.compile(r"[A-Za-z0-9]{32}", re.ASCII)


class PagerDuty(ChannelKind):
    kind: ClassVar = Channel.Kind.PAGERDUTY
    explanation: ClassVar = (
        "An alert of a PagerDuty service: in the service add the integration “Events API V2”, and "
        "paste its integration key. An incident that is acknowledged or resolved here is so there."
    )
    asks_for: ClassVar = "Integration key"
    has_region: ClassVar = True
    takes: ClassVar = frozenset(Moment)

    def problems(self, channel: Channel) -> Iterator[Problem]:
        if not _KEY.fullmatch(channel.secret):
            message = "is an integration key of the Events API V2: 32 letters and digits"
            yield Problem("invalid_key", message, field="secret")
        if channel.region not in HOSTS:
            yield Problem("invalid_choice", "is us or eu", field="region")

    def host_of(self, channel: Channel) -> str:
        return HOSTS[Channel.Region(channel.region)]

    def connect(self) -> PagerDutyConnection:
        return PagerDutyConnection()

    def passes_at_once(self, moment: str) -> bool:
        return moment in ACTIONS  # they ring nobody, and one left out leaves an alert open for good


class PagerDutyConnection(WebConnection):
    def send(self, message: Message, channel: Channel | None) -> None:
        assert channel is not None  # noqa: S101 - the queue sends none without
        address = Address(HOSTS[Channel.Region(channel.region)], PATH)
        events = [body_of(message, channel.secret)]
        if message.is_test:  # nobody should have to close it
            events.append(events[0] | {"event_action": "resolve"})
        for event in events:
            self.post(address, event, name="PagerDuty", secrets=[channel.secret])


def body_of(message: Message, routing_key: str) -> dict[str, Any]:
    event = {
        "routing_key": routing_key,
        "event_action": ACTIONS.get(message.moment, "trigger"),  # type: ignore[call-overload]
        "dedup_key": str(message.incident_id or message.key),
    }
    if event["event_action"] != "trigger" and not message.is_gone:
        return event  # why it was closed stands in the alert's log there
    links = [{"href": message.url, "text": "Open in the hub"}] if message.url else []
    return event | {
        "client": "Webhooks hub",
        "client_url": message.url,
        "links": links,
        "payload": {
            "summary": message.title[:MAX_SUMMARY],
            "source": message.account[:MAX_SUMMARY],
            "severity": message.severity or "info",
            "class": str(message.data.get("kind", "")),
            "custom_details": {
                "text": message.text[:MAX_DETAIL],
                **{name: value[:MAX_DETAIL] for name, value in message.facts},
            },
        },
    }
