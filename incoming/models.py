"""Who may tell us, and what they told."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from incoming.providers import PROVIDERS, Cause
from incoming.querysets import ReceiptQuerySet
from incoming.tokens import new_token
from webhooks_project.accounts.models import Account
from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.ssrf import parse_networks

MAX_BODY_BYTES = 25 * 1024 * 1024  # as large as GitHub's; a source may set less


def provider_choices() -> list[tuple[str, str]]:
    """The providers by their labels."""
    return sorted(((name, item.label) for name, item in PROVIDERS.items()), key=lambda x: x[1])


class Source(models.Model):
    """Who may send to us: an ingest URL, a provider, secrets, limits, an address allow-list."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="sources")
    name = models.CharField(max_length=200)
    provider = models.CharField(max_length=64, choices=provider_choices)
    # Part of the ingest URL; the lookup of each call.
    token = models.CharField(max_length=64, unique=True, default=new_token, editable=False)
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
    max_body_bytes = models.PositiveIntegerField(
        default=5 * 1024 * 1024,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_BODY_BYTES)],
    )
    rate_per_minute = models.PositiveIntegerField(
        default=6000, validators=[MinValueValidator(1)], help_text="Calls of the whole source."
    )
    rate_per_minute_per_address = models.PositiveIntegerField(
        default=6000, validators=[MinValueValidator(1)], help_text="Calls from one address."
    )
    disabled_at = models.DateTimeField(null=True, blank=True)
    last_received_at = models.DateTimeField(null=True, blank=True, editable=False)
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

    def clean(self) -> None:
        try:
            parse_networks(self.allowed_networks)
        except (ValueError, TypeError) as error:
            raise ValidationError({"allowed_networks": str(error)}) from error
        check_options(self.provider, self.options)


def check_options(provider: str, options: object) -> None:
    """Raise ValidationError where the options are not ones that the provider can use."""
    if not isinstance(options, dict) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in options.items()
    ):
        raise ValidationError({"options": "a mapping of names to texts"})
    check = getattr(PROVIDERS.get(provider), "check_options", None)
    if check is not None:
        try:
            check(options)
        except ValueError as error:
            raise ValidationError({"options": str(error)}) from error


class SourceSecret(models.Model):
    """A secret that calls of a source may be signed with; several while one is being rotated."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="secrets")
    secret = EncryptedTextField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"secret of {self.source_id} from {self.created_at:%Y-%m-%d}"

    def is_valid(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now


class Route(models.Model):
    """A rule of a source: which receipts become which events."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="routes")
    position = models.PositiveSmallIntegerField(default=0)
    type_pattern = models.CharField(
        max_length=128,
        default="*",
        help_text="The provider's event types it takes: a name, a name ending in *, or *.",
    )
    event_type = models.CharField(
        max_length=128,
        default="{provider}.{type}",
        help_text="The type of the event it publishes; {provider} and {type} are filled in.",
    )
    disabled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["position", "id"]

    def __str__(self) -> str:
        return f"{self.type_pattern} → {self.event_type}"


class Receipt(models.Model):
    """One call we received, raw bytes and headers, with the verdict given when it arrived."""

    class Status(models.TextChoices):
        ACCEPTED = "accepted"
        PROCESSING = "processing"
        PROCESSED = "processed"
        FAILED = "failed"
        DEAD = "dead"
        REFUSED = "refused"
        DUPLICATE = "duplicate"
        HANDSHAKE = "handshake"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="receipts", db_index=False)
    status = models.CharField(max_length=16, choices=Status.choices)
    cause = models.CharField(max_length=32, choices=Cause.choices, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    external_id = models.CharField(max_length=255, blank=True)
    type = models.CharField(max_length=255, blank=True)
    method = models.CharField(max_length=16)
    query = models.TextField(blank=True)
    # Pairs as JSON text: what a stranger sends is not always fit for a database's JSON type.
    headers = models.BinaryField()
    body = models.BinaryField()
    body_sha256 = models.BinaryField(max_length=32)
    remote_address = models.CharField(max_length=45)
    request_id = models.CharField(max_length=64)
    received_at = models.DateTimeField()
    # The verdict on arrival: which secret fitted, and the signed time where the scheme has one.
    secret_id = models.CharField(max_length=64, blank=True)
    signed_at = models.DateTimeField(null=True)
    # Processing. `lease_token` is null unless a pump has it.
    attempt_count = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)
    processed_at = models.DateTimeField(null=True)
    event_count = models.PositiveSmallIntegerField(default=0)

    objects = ReceiptQuerySet.as_manager()

    class Meta:
        db_table = "webhooks.incoming"
        ordering: ClassVar = ["-received_at"]
        constraints: ClassVar = [
            # The provider's own id is taken once; a repeat is a duplicate, a refused one nobody.
            models.UniqueConstraint(
                fields=["source", "external_id"],
                condition=~Q(external_id="") & ~Q(status__in=["refused", "duplicate", "handshake"]),
                name="receipt_unique_per_source",
            )
        ]
        indexes: ClassVar = [
            # The claim of receipts to process; holds only what waits.
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="receipt_due",
            ),
            # The sweep of leases that ran out.
            models.Index(
                fields=["leased_until"],
                condition=Q(leased_until__isnull=False),
                name="receipt_leased",
            ),
            # The receipt that a repeat repeats, and a person's search for a provider's id. The
            # partial index of the constraint serves neither: SQLite cannot see that it would do.
            models.Index(fields=["external_id"], name="receipt_by_external_id"),
            # A source's list by state, newest first.
            models.Index(fields=["source", "status", "-received_at"], name="receipt_by_source"),
            # The account's list, newest first.
            models.Index(fields=["account", "-received_at"], name="receipt_by_account"),
            # The console's list over all accounts.
            models.Index(fields=["-received_at"], name="receipt_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.type or self.method} {self.id}"

    @property
    def causation_id(self) -> str:
        """How events name this receipt as what caused them."""
        return f"receipt:{self.id}"


class RefusalCount(models.Model):
    """How many calls of a source were refused in one hour, by cause: exact, however many."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="refusals", db_index=False)
    hour = models.DateTimeField()
    cause = models.CharField(max_length=32, choices=Cause.choices)
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering: ClassVar = ["-hour", "-count"]
        constraints: ClassVar = [
            # The row that a refusal adds to.
            models.UniqueConstraint(
                fields=["source", "hour", "cause"], name="refusal_unique_hour_and_cause"
            )
        ]
        indexes: ClassVar = [
            # The account's list, newest first.
            models.Index(fields=["account", "-hour"], name="refusal_by_account"),
        ]

    def __str__(self) -> str:
        return f"{self.count} × {self.cause}"
