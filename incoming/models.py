"""Who may tell us, and what they told."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from incoming.providers import PROVIDERS, Cause
from incoming.querysets import HandlerRunQuerySet, ReceiptQuerySet
from incoming.tokens import new_token
from webhooks_project.accounts.models import Account
from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib.fingerprints import fingerprint_of
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.visible import visible

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


class ReceiptReplay(models.Model):
    """A job that processes past receipts again: planned, run, its progress, its end."""

    class Status(models.TextChoices):
        PLANNED = "planned"
        RUNNING = "running"
        FINISHED = "finished"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")
    # What is replayed: receipts received in [since, until) with these marks; empty for any.
    since = models.DateTimeField()
    until = models.DateTimeField()
    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, related_name="+")
    # No foreign key: where the receipt is gone the job has nothing to do, and not all to do.
    receipt_id = models.UUIDField(null=True, blank=True)
    type_pattern = models.CharField(max_length=255, blank=True)
    statuses = models.JSONField(default=list, blank=True)
    cause = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PLANNED)
    planned_count = models.PositiveIntegerField(default=0)
    replayed_count = models.PositiveIntegerField(default=0)
    # Counts of the plan by source and type, the oldest receipt.
    plan = models.JSONField(default=dict, blank=True)
    # How far it has come; a run that was cut off goes on from here.
    cursor_at = models.DateTimeField(null=True, blank=True)
    cursor_id = models.UUIDField(null=True, blank=True)
    error = models.TextField(blank=True)
    requested_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            # The jobs to be moved on; holds only those.
            models.Index(
                fields=["created_at"],
                condition=Q(status="running"),
                name="receipt_replay_running",
            ),
        ]

    def __str__(self) -> str:
        return f"receipt replay {self.id}"


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
    # Why it was refused (one of Cause), or the code of the error that it failed with.
    cause = models.CharField(max_length=64, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    # What a repeat has too: the provider's id, or a digest of the fields that its source chose.
    external_id = models.CharField(max_length=255, blank=True)
    # Null where a repeat of it is none. 0 for the provider's id, else the number of the window.
    dedup_slot = models.BigIntegerField(null=True)
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
    is_verified = models.BooleanField(default=False)
    secret_id = models.CharField(max_length=64, blank=True)
    signed_at = models.DateTimeField(null=True)
    # What does not fit its source's schema: at most ten of {path, message}.
    schema_errors = models.JSONField(default=list)
    # Set while it waits for a person, because of those.
    quarantined_at = models.DateTimeField(null=True)
    # An earlier receipt of the source with the same body and another id.
    same_body_as = models.UUIDField(null=True)
    # Processing. `lease_token` is null unless a pump has it.
    attempt_count = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)
    # When its routes were followed in this round; its handlers may still be at work.
    routed_at = models.DateTimeField(null=True)
    processed_at = models.DateTimeField(null=True)
    event_count = models.PositiveSmallIntegerField(default=0)
    # What followed in all: events, handler runs, updates, notifications. 0 where no route took it.
    action_count = models.PositiveSmallIntegerField(default=0)
    # Whether its source's counts have it.
    is_counted = models.BooleanField(default=False)
    # 0, and one more with each replay.
    round = models.PositiveSmallIntegerField(default=0)
    replay = models.ForeignKey(
        ReceiptReplay, models.SET_NULL, null=True, related_name="receipts", db_index=False
    )
    body_pruned_at = models.DateTimeField(null=True)
    # When it last became dead, and what dead receipts that failed alike share.
    dead_at = models.DateTimeField(null=True)
    fingerprint = models.CharField(max_length=32, blank=True)
    # Why a dead one is no longer to be taken up; empty while it is.
    discard_reason = models.CharField(max_length=200, blank=True)

    objects = ReceiptQuerySet.as_manager()

    class Meta:
        db_table = "webhooks.incoming"
        ordering: ClassVar = ["-received_at"]
        constraints: ClassVar = [
            # An id is taken once; NULLs are no repeats. Also the search for the receipt that a
            # repeat repeats, and a person's for a provider's id.
            models.UniqueConstraint(
                fields=["external_id", "source", "dedup_slot"], name="receipt_unique_per_source"
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
            # Receipts with the same body.
            models.Index(fields=["body_sha256"], name="receipt_by_body"),
            # A source's list by state, newest first.
            models.Index(fields=["source", "status", "-received_at"], name="receipt_by_source"),
            # The account's list, newest first.
            models.Index(fields=["account", "-received_at"], name="receipt_by_account"),
            # The console's list over all accounts.
            models.Index(fields=["-received_at"], name="receipt_by_time"),
            # The lists of what no route took.
            models.Index(
                fields=["account", "-received_at"],
                condition=Q(status="processed", action_count=0),
                name="receipt_unmatched",
            ),
            # The lists of what waits for a person.
            models.Index(
                fields=["account", "-received_at"],
                condition=Q(quarantined_at__isnull=False),
                name="receipt_quarantined",
            ),
            # The lists of what has an earlier one's body.
            models.Index(
                fields=["account", "-received_at"],
                condition=Q(same_body_as__isnull=False),
                name="receipt_same_body",
            ),
            # The list of what a replay took.
            models.Index(
                fields=["replay", "-received_at"],
                condition=Q(replay__isnull=False),
                name="receipt_by_replay",
            ),
            # Dead receipts as they died, and those to prune.
            models.Index(
                fields=["account", "-dead_at"], condition=Q(status="dead"), name="receipt_dead"
            ),
            # Dead receipts that failed alike: their count, the first and the last.
            models.Index(
                fields=["account", "fingerprint", "dead_at"],
                condition=Q(status="dead", discard_reason=""),
                name="receipt_dead_alike",
            ),
        ]

    def __str__(self) -> str:
        return f"{visible(self.type or self.method)} {self.id}"

    @property
    def causation_id(self) -> str:
        """How events name this receipt as what caused them."""
        return f"receipt:{self.id}"

    def die(self, now: datetime) -> None:
        """Note that it is dead, by its present cause and detail, and awaits a person."""
        self.status = self.Status.DEAD
        self.dead_at = now
        self.fingerprint = fingerprint_of(self.source_id, self.cause, text=self.detail)
        self.discard_reason = ""


class HandlerRun(models.Model):
    """The duty of one handler to one receipt, with its tries: succeeded in the end, or dead."""

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"  # and tried again
        DEAD = "dead"  # until a person takes it up

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="+", db_index=False)
    receipt = models.ForeignKey(Receipt, models.CASCADE, related_name="runs", db_index=False)
    handler = models.CharField(max_length=255)
    # The receipt's round: a replay runs its handlers anew.
    round = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)
    # Of the last try. `error` is its traceback.
    worker = models.CharField(max_length=100, blank=True)
    started_at = models.DateTimeField(null=True)
    duration_ms = models.PositiveIntegerField(null=True)
    cause = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = HandlerRunQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            # A handler has one run for a receipt and round; also the receipt's list.
            models.UniqueConstraint(
                fields=["receipt", "round", "handler"], name="run_unique_per_handler"
            )
        ]
        indexes: ClassVar = [
            # The claim of runs that are due; holds only what waits.
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="run_due",
            ),
            # The sweep of leases that ran out.
            models.Index(
                fields=["leased_until"],
                condition=Q(leased_until__isnull=False),
                name="run_leased",
            ),
            # The account's list by state, newest first.
            models.Index(fields=["account", "status", "-created_at"], name="run_by_account"),
            # The next of each handler.
            models.Index(
                fields=["handler", "next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="run_due_by_handler",
            ),
            # A handler's list by state, newest first.
            models.Index(fields=["handler", "status", "-created_at"], name="run_by_handler"),
            # The console's list by state, newest first.
            models.Index(fields=["status", "-created_at"], name="run_by_status"),
            # The console's list over all accounts.
            models.Index(fields=["-created_at"], name="run_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.handler} for {self.receipt_id}"


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


class RefusalMinute(models.Model):
    """How many refused calls of a source were not kept as receipts in one minute, by cause.

    With the receipts that were kept they give every minute's refusals exactly.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="+", db_index=False)
    minute = models.DateTimeField()
    cause = models.CharField(max_length=32, choices=Cause.choices)
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            # The row that a refusal adds to.
            models.UniqueConstraint(
                fields=["source", "minute", "cause"], name="refusal_unique_minute_and_cause"
            )
        ]
        indexes: ClassVar = [
            # The minutes that are counted.
            models.Index(fields=["minute"], name="refusal_by_minute"),
            # Those to prune.
            models.Index(fields=["account", "minute"], name="refusal_minute_by_account"),
        ]

    def __str__(self) -> str:
        return f"{self.count} × {self.cause}"
