"""A webhook: an event of the account about its incident, delivered by the hub itself.

Whoever subscribes to `incident.*` gets it signed and retried like any other event. It is published
in the transaction that notes it as sent, so that it is published once whatever breaks off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from monitoring.channels.message import ChannelKind, Message, SendFailed
from monitoring.models import Channel, Notification
from outgoing.operational import publish_incident
from subscriptions.operational import OperationalType
from webhooks_project.acceptable import Problem
from webhooks_project.lib.errors import DomainError

Moment = Notification.Moment

HOST: Final = "hub"
TYPES: Final = {
    Moment.OPENED: OperationalType.INCIDENT_OPENED,
    Moment.RAISED: OperationalType.INCIDENT_RAISED,
    Moment.REMINDED: OperationalType.INCIDENT_REMINDED,
    Moment.ESCALATED: OperationalType.INCIDENT_ESCALATED,
    Moment.ACKNOWLEDGED: OperationalType.INCIDENT_ACKNOWLEDGED,
    Moment.RESOLVED: OperationalType.INCIDENT_RESOLVED,
}


class Webhook(ChannelKind):
    kind: ClassVar = Channel.Kind.WEBHOOK
    explanation: ClassVar = (
        "An event of this account, incident.opened, incident.raised, incident.reminded, "
        "incident.escalated, incident.acknowledged or incident.resolved, which every subscription "
        "to incident.* gets as a signed webhook."
    )
    takes: ClassVar = frozenset(Moment)
    people: ClassVar = False
    in_database: ClassVar = True

    def problems(self, channel: Channel) -> Iterator[Problem]:
        return iter(())

    def host_of(self, channel: Channel) -> str:
        return HOST

    def connect(self) -> WebhookConnection:
        return WebhookConnection()


class WebhookConnection:
    def send(self, message: Message, channel: Channel | None) -> None:
        type_ = OperationalType.INCIDENT_TEST if message.is_test else TYPES[Moment(message.moment)]
        try:
            is_heard = publish_incident(
                account_id=message.account_id,
                type_=type_,
                data=message.data,
                incident_id=message.incident_id,
                about_subscription=message.subscription_id,
            )
        except DomainError as error:  # such as the account's own schema for that type
            raise SendFailed("not_published", str(error)[:400], is_final=True) from error
        if not is_heard:
            problem = f"no active subscription of the account hears {type_.value}"
            raise SendFailed("not_heard", problem, is_final=True)

    def close(self) -> None: ...
