"""What follows from what a source tells."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from incoming.models.sources import Source
from webhooks_project.lib.ids import new_id


class Route(models.Model):
    """A rule of a source: which receipts, and what follows from them. In order of `position`."""

    class Action(models.TextChoices):
        PUBLISH = "publish"  # an event of a type
        HANDLE = "handle"  # call a handler of the platform
        UPDATE = "update"  # the state of the integration
        NOTIFY = "notify"  # people

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="routes")
    position = models.PositiveSmallIntegerField(default=0)
    type_pattern = models.CharField(
        max_length=128,
        default="*",
        help_text="The provider's event types it takes: a name, a name ending in *, or *.",
    )
    condition = models.JSONField(
        default=dict,
        blank=True,
        help_text="A filter over type, data, headers, query and method; empty for every receipt.",
    )
    action = models.CharField(max_length=16, choices=Action.choices, default=Action.PUBLISH)
    event_type = models.CharField(
        max_length=200,
        blank=True,
        default="{provider}.{type}",
        help_text="publish: the event's type; {provider}, {type}, {header:…} and {json:…} are "
        "filled in.",
    )
    expression = models.TextField(
        blank=True,
        max_length=16_384,
        help_text="JSONata. publish: the event's type, in place of the field above. update: an "
        "object that is merged into the integration's state.",
    )
    handler = models.CharField(max_length=255, blank=True, help_text="handle: the handler's name.")
    recipients = models.JSONField(
        default=list,
        blank=True,
        help_text="notify: e-mail addresses, and roles of the account such as operator.",
    )
    message = models.TextField(
        blank=True,
        max_length=2_000,
        help_text="notify: what they are told; {provider}, {type}, {header:…} and {json:…} are "
        "filled in.",
    )
    is_last = models.BooleanField(
        default=False, help_text="Routes after this one do not see what it takes."
    )
    disabled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["position", "id"]

    def __str__(self) -> str:
        target = {"publish": self.expression or self.event_type, "handle": self.handler}
        return f"{self.type_pattern} → {self.action} {target.get(self.action, '')}".rstrip()
