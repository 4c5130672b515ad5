"""Who may tell us, and the secrets that prove it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from incoming.providers import PROVIDERS
from incoming.tokens import new_token
from webhooks_project.accounts.models import Account
from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib.ids import new_id

MAX_BODY_BYTES = 25 * 1024 * 1024  # as large as GitHub's; a source may set less


def provider_choices() -> list[tuple[str, str]]:
    """The providers by their labels."""
    return sorted(((name, item.label) for name, item in PROVIDERS.items()), key=lambda x: x[1])


class SchemaMode(models.TextChoices):
    """What becomes of a payload that does not fit its source's schema."""

    OFF = "off"  # it is not looked at
    WARN = "warn"  # accepted, with what does not fit
    REJECT = "reject"  # refused
    QUARANTINE = "quarantine"  # kept until a person releases or drops it


class Source(models.Model):
    """Who may send to us: an ingest URL, a provider, secrets, limits, an address allow-list.

    Its counts are of calls, each in one of them by the answer that it got on arrival, and once: a
    replay counts nothing again. Handshakes are in none.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="sources")
    name = models.CharField(max_length=200)
    provider = models.CharField(max_length=64, choices=provider_choices)
    # Part of the ingest URL; the lookup of each call. The one before counts for a grace.
    token = models.CharField(max_length=64, unique=True, default=new_token, editable=False)
    previous_token = models.CharField(
        max_length=64, unique=True, null=True, blank=True, editable=False
    )
    previous_token_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    options = models.JSONField(
        default=dict, blank=True, help_text="What this provider needs to know, by name."
    )
    public_url = models.CharField(
        max_length=2048,
        blank=True,
        help_text="The URL as the provider calls it, where that is not the hub's own.",
    )
    tolerance_seconds = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="How old a signed timestamp may be; empty for the provider's own rule.",
    )
    allowed_networks = models.JSONField(
        default=list, blank=True, help_text="Networks that may call, in CIDR form; empty for all."
    )
    methods = models.JSONField(
        default=list, blank=True, help_text="Methods that are taken; empty for the provider's own."
    )
    content_types = models.JSONField(
        default=list,
        blank=True,
        help_text="Media types that are taken, such as application/json; empty for all known.",
    )
    max_body_bytes = models.PositiveIntegerField(
        default=5 * 1024 * 1024,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_BODY_BYTES)],
        help_text="Of a body, and of what a compressed one expands to.",
    )
    rate_per_minute = models.PositiveIntegerField(
        default=6000, validators=[MinValueValidator(1)], help_text="Calls of the whole source."
    )
    rate_per_minute_per_address = models.PositiveIntegerField(
        default=6000, validators=[MinValueValidator(1)], help_text="Calls from one address."
    )
    answer_status = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(200), MaxValueValidator(299)],
        help_text="Of the answer to a call that is taken; empty for the provider's own answer.",
    )
    answer_headers = models.JSONField(
        default=dict, blank=True, help_text="Headers of that answer, by name."
    )
    answer_body = models.TextField(blank=True, max_length=16_384, help_text="Body of that answer.")
    schema = models.JSONField(
        null=True, blank=True, help_text="JSON Schema that payloads should fit."
    )
    schema_mode = models.CharField(
        max_length=16,
        choices=SchemaMode.choices,
        default=SchemaMode.OFF,
        help_text="What happens to a payload that does not fit.",
    )
    dedup_fields = models.JSONField(
        default=list,
        blank=True,
        help_text="Places whose values make two calls the same, such as json:order.id or "
        "header:x-id; empty for the provider's own id.",
    )
    dedup_window_seconds = models.PositiveIntegerField(
        default=86_400,
        validators=[MinValueValidator(1), MaxValueValidator(30 * 86_400)],
        help_text="How long a call is known by those fields.",
    )
    transformation = models.TextField(
        blank=True,
        max_length=65_536,
        help_text="JSONata over the payload; what it gives is what the routes see.",
    )
    disabled_at = models.DateTimeField(null=True, blank=True)
    # What the integration's own webhooks said of it, by the routes that update it.
    state = models.JSONField(default=dict, blank=True, editable=False)
    accepted_count = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="Calls that were taken; one counts once its first processing has ended, well or "
        "not, and a quarantined one that is dropped from then on.",
    )
    duplicate_count = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="Calls that repeated one that was taken."
    )
    refused_count = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="Calls that were refused on arrival."
    )
    last_received_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_verified_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(max_length=500, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "integrations"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        """The ingest URL's path."""
        return f"/in/{self.token}"


class SourceSecret(models.Model):
    """A secret that calls of a source may be signed with; several while one is being rotated.

    Or the value of an option that is secret.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="secrets")
    # The option that it is the value of; empty for what calls are signed with.
    option = models.CharField(max_length=64, blank=True)
    secret = EncryptedTextField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    # A learned secret that the operator must enter at the third party may be shown once.
    is_showable = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"secret of {self.source_id} from {self.created_at:%Y-%m-%d}"

    def is_valid(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now
