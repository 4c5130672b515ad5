"""Pages of figures that people make and arrange."""

from __future__ import annotations

from typing import ClassVar, Final

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from webhooks_project.lib.ids import new_id

MAX_WIDTH: Final = 4  # columns of a wide screen
MAX_HEIGHT: Final = 3  # rows


class DashboardQuerySet(models.QuerySet["Dashboard"]):
    def seen_by(self, user_id: int | None) -> DashboardQuerySet:
        """Those that are shared, and the user's own; nobody else looks at a private one.

        One whose owner is no more is the account's.
        """
        return self.filter(Q(is_shared=True) | Q(owner=None) | Q(owner=user_id))


class Dashboard(models.Model):
    """A page of widgets of one account, its owner's own or shared with the account."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="+", db_index=False
    )
    # None: made by an API key, or the user is no more.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    name = models.CharField(max_length=120)
    description = models.CharField(
        max_length=500, blank=True, help_text="What it is for, shown below its name."
    )
    is_shared = models.BooleanField(
        default=True,
        verbose_name="Shared with the account",
        help_text="Otherwise only its owner sees it.",
    )
    created_at = models.DateTimeField(editable=False)
    changed_at = models.DateTimeField(editable=False)

    objects = DashboardQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name", "id"]
        indexes: ClassVar = [
            # The account's list, by name.
            models.Index(fields=["account", "name"], name="dashboard_by_account"),
        ]

    def __str__(self) -> str:
        return self.name


class Widget(models.Model):
    """One figure of a dashboard: a stored query, and how it is drawn.

    An empty granularity follows the period that is looked at; `none` has no axis of time.
    """

    class Kind(models.TextChoices):
        LINE = "line", "Line"
        BAR = "bar", "Bars"
        STACKED = "stacked", "Stacked bars"
        HEAT_MAP = "heat_map", "Heat map of hours"
        TABLE = "table", "Table"
        NUMBER = "number", "Number"
        DEAD_LETTERS = "dead_letters", "Dead letters that wait"
        FORECAST = "forecast", "Forecast of volume"
        OBJECTIVES = "objectives", "Objectives, and where each stands"
        UNUSED = "unused", "Event types and subscriptions without use"
        HEALTH = "health", "Health of endpoints or sources"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    dashboard = models.ForeignKey(Dashboard, models.CASCADE, related_name="widgets", db_index=False)
    title = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    measures = models.JSONField(default=list, blank=True)
    dimensions = models.JSONField(default=list, blank=True)
    granularity = models.CharField(max_length=16, blank=True)
    # Values by dimension.
    filters = models.JSONField(default=dict, blank=True)
    order_by = models.CharField(max_length=32, blank=True)
    limit = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(500)]
    )
    compare = models.BooleanField(default=False)
    width = models.PositiveSmallIntegerField(
        default=2, validators=[MinValueValidator(1), MaxValueValidator(MAX_WIDTH)]
    )
    height = models.PositiveSmallIntegerField(
        default=2, validators=[MinValueValidator(1), MaxValueValidator(MAX_HEIGHT)]
    )
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering: ClassVar = ["position", "id"]
        indexes: ClassVar = [
            # A dashboard's widgets in their order.
            models.Index(fields=["dashboard", "position"], name="widget_by_dashboard"),
        ]

    def __str__(self) -> str:
        return self.title
