"""What the mail about a made report has beside its text: its HTML, and its other files."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.core import mail

from analytics.models import ReportFile
from analytics.models.reports import Format
from analytics.reports.files import TYPES
from monitoring.models import Notification

SUBJECT: Final = "analytics.reportrun"
# Of all files together; what is larger is fetched by the link. Mail servers often take 10 MB, and
# what is attached grows by a third.
MAX_ATTACHED_BYTES: Final = 7_000_000


def with_report(message: mail.EmailMessage, key: UUID) -> mail.EmailMessage:
    """The mail of the notification with that id with its run's files; as it is where the
    notification is not about a run."""
    notification = Notification.objects.filter(pk=key, object_type=SUBJECT).first()
    if notification is None:
        return message
    files = ReportFile.objects.filter(
        run=UUID(notification.object_id), run__account=notification.account_id
    )
    made = mail.EmailMultiAlternatives(
        subject=message.subject,
        body=message.body,
        to=message.to,
        headers=message.extra_headers,
    )
    left = MAX_ATTACHED_BYTES
    for file in files.order_by("size_bytes"):
        if file.format == Format.HTML:
            made.attach_alternative(bytes(file.content).decode(), "text/html")
        elif file.size_bytes <= left:
            left -= file.size_bytes
            kind = TYPES[Format(file.format)].partition(";")[0]
            content: bytes | str = bytes(file.content)
            made.attach(file.name, content, kind)
    return made
