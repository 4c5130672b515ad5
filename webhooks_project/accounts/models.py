"""Tenants, the people and the keys that act for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final
from uuid import UUID

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from webhooks_project.lib.ids import new_id
from webhooks_project.lib.time_zones import is_time_zone

MAX_KEPT_DAYS: Final = 32_767  # as many as PostgreSQL's column holds
KEPT_DAYS_FIELDS: Final = (
    "receipt_body_days", "receipt_days", "event_body_days", "event_days", "dead_letter_days",
)  # fmt: skip


def validate_time_zone(name: str) -> None:
    if not is_time_zone(name):
        raise ValidationError("There is no such time zone; one is Europe/Berlin.", code="unknown")


class Role(models.TextChoices):
    """What one may do in an account; each role includes those before it. API key scopes too."""

    VIEWER = "viewer"  # reads
    DEVELOPER = "developer"  # manages subscriptions and sources, publishes, tests
    OPERATOR = "operator"  # redelivers, replays, pauses
    ADMIN = "admin"  # manages keys, members, limits; reads the audit

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


class UnknownEventTypes(models.TextChoices):
    """What happens to an event whose type is not in the account's catalogue."""

    ALLOW = "allow"
    WARN = "warn"
    REJECT = "reject"


class User(AbstractUser):
    """Django's user, in the platform's own table."""

    time_zone = models.CharField(
        max_length=64,
        blank=True,
        validators=[validate_time_zone],
        help_text="In which figures are shown to them; empty for the account's.",
    )

    class Meta:
        db_table = "_users"


class Account(models.Model):
    """A tenant, with its webhook limits and settings."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    receipt_body_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Days that the bodies and headers of receipts are kept; empty for as long as "
        "the receipts.",
    )
    receipt_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Days that receipts are kept; empty for ever.",
    )
    dead_letter_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Days that dead letters wait for someone to take them up; empty for ever.",
    )
    event_body_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Days that the data of events and the answers to them are kept; empty for as "
        "long as the events.",
    )
    event_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Days that events are kept, with their deliveries; empty for ever.",
    )
    unknown_event_types = models.CharField(
        max_length=8,
        choices=UnknownEventTypes.choices,
        default=UnknownEventTypes.ALLOW,
        help_text="What happens to an event whose type is not in the catalogue.",
    )
    has_public_catalogue = models.BooleanField(
        default=False, help_text="Whether anybody may read the catalogue of event types."
    )
    asks_for_ownership = models.BooleanField(
        default=False,
        help_text="Whether an endpoint must echo a challenge before its subscription is active.",
    )
    time_zone = models.CharField(
        max_length=64,
        blank=True,
        validators=[validate_time_zone],
        help_text="In which its figures are shown, such as Europe/Berlin; empty for UTC.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    members: models.ManyToManyField[User, Membership] = models.ManyToManyField(
        User, through="Membership", related_name="accounts"
    )

    class Meta:
        db_table = "_accounts"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Generation(models.Model):
    """A value that is drawn anew with each change of what publishing reads of an account.

    The database writes it and nobody else: accounts/generations.py.
    """

    account = models.OneToOneField(
        Account, models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    value = models.UUIDField()

    def __str__(self) -> str:
        return str(self.value)


Generations = Mapping[UUID, UUID | None]  # by account
NO_GENERATIONS: Final[Generations] = {}


def generation_of(account: str) -> models.Subquery:
    """For a query: the generation of the account that this column names. None where it has none."""
    row = Generation.objects.filter(account_id=models.OuterRef(account))
    return models.Subquery(row.values("value"))


class Membership(models.Model):
    """A user's role in an account."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "user"], name="membership_unique_per_account"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.account} as {self.role}"


class ApiKey(models.Model):
    """A key for programs: `whk_<prefix>_<secret>`. Only the SHA-256 of the secret is kept.

    256 random bits need no slow hash (OWASP ASVS 5.0, 6.5.2), so a key is checked on each call.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=200)
    # The lookup by a caller's key.
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    secret_sha256 = models.BinaryField(max_length=32, editable=False)
    scopes = models.JSONField(default=list, help_text="Roles: viewer, developer, operator, admin.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    # Its account's when a call was made by it, and whether the database was asked whether that is
    # still so; kept in no column of the key's.
    generation: UUID | None = None
    is_confirmed = True

    class Meta:
        ordering: ClassVar = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} (whk_{self.prefix}_…)"

    @property
    def role(self) -> Role:
        """The highest role among the key's scopes."""
        known = (role for role in Role if role in self.scopes)
        return max(known, key=lambda role: role.rank, default=Role.VIEWER)
