"""Counts per period."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse

from analytics.models import SUCCEEDED, ReceiptRollup, Rollup, Scope
from analytics.periods import Grain
from analytics.usage import usage_of
from subscriptions.admin import SubscriptionAdmin
from subscriptions.models import Subscription
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import (
    column,
    label,
    milliseconds,
    moment,
    moment_column,
    value_column,
)
from webhooks_project.lib import clock


def usage_of_subscription(subscription: Subscription) -> Panel:
    """What its last day came to."""
    now = clock.now()
    usage = usage_of(subscription, since=now - timedelta(days=1), until=now)
    delivered = usage.deliveries.get("delivered", 0)
    quota = (
        f"{usage.quota_used:g} of {usage.rate_limit} a {usage.rate_period}: {usage.quota_percent}%"
        if usage.rate_limit
        else "no limit"
    )
    rows = [
        ["Events matched", f"{usage.matched:,}{'+' if usage.is_capped else ''}"],
        ["Delivered", f"{delivered:,}"],
        ["Failing", f"{usage.failing:,}"],
        ["Exhausted", f"{usage.deliveries.get('exhausted', 0):,}"],
        ["Attempts", f"{sum(usage.attempts.values()):,}"],
        ["Median, 95th percentile", f"{milliseconds(usage.p50_ms)}, {milliseconds(usage.p95_ms)}"],
        ["Mean, slowest", f"{milliseconds(usage.mean_ms)}, {milliseconds(usage.max_ms)}"],
        ["Last success", moment(usage.last_success_at)],
        ["Rate", quota],
    ]
    return Table("The last 24 hours", ["Figure", "Value"], rows)


SubscriptionAdmin.panels.insert(0, usage_of_subscription)


VERDICT_COLOURS = {
    ReceiptRollup.Verdict.ACCEPTED: "success",
    ReceiptRollup.Verdict.REFUSED: "danger",
}


class PeriodsAdmin(HistoryAdmin):
    """Rows of the full key, of one grain."""

    period_start = moment_column("From", "at")
    date_hierarchy = "at"
    ordering = ("-at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        # The coarser scopes say the same again.
        return super().get_queryset(request).filter(scope=Scope.FULL)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Minutes alone unless another grain is asked for: each has all that is counted again."""
        if not any(name.startswith("grain") for name in request.GET):
            asked = request.GET.copy()
            asked["grain__exact"] = str(Grain.MINUTE.value)
            request.GET = asked  # type: ignore[assignment]  # so that the filter says it
        found: HttpResponse = super().changelist_view(request, extra_context)
        return found


@admin.register(Rollup)
class RollupAdmin(PeriodsAdmin):
    empty_text = "Attempts are counted here once a minute."
    list_display = (
        "period_start", "grain", "subscription", "event_type", "source", "cause_label", "attempts",
        "mean", "slowest",
    )  # fmt: skip
    list_filter = (
        ("grain", ValuesFilter),
        ("subscription", RelatedFilter),
        ("source", RelatedFilter),
        ("account", RelatedFilter),
        ("at", PeriodFilter),
    )
    list_select_related = ("subscription", "source")
    search_fields = ("subscription__name", "event_type", "cause")
    fields = (
        "period_start", "grain", "subscription", "account", "event_type", "source", "cause_label",
        "status_class", "attempts", "first_attempts", "retries", "exhausted", "request_bytes",
        "response_bytes", "mean", "slowest",
    )  # fmt: skip

    @column("Cause")
    def cause_label(self, rollup: Rollup) -> str:
        return label(rollup.cause or SUCCEEDED, {SUCCEEDED: "success"})

    @column("Mean")
    def mean(self, rollup: Rollup) -> str:
        return milliseconds(rollup.mean_ms)

    @column("Slowest")
    def slowest(self, rollup: Rollup) -> str:
        return milliseconds(rollup.max_ms)


@admin.register(ReceiptRollup)
class ReceiptRollupAdmin(PeriodsAdmin):
    empty_text = "Receipts are counted here once a minute, also those of which none is kept."
    cause_word = value_column("Cause", "cause")
    list_display = (
        "period_start", "grain", "source", "event_type", "verdict_label", "cause_word", "receipts",
        "receipt_bytes",
    )  # fmt: skip
    list_filter = (
        ("grain", ValuesFilter),
        ("verdict", ValuesFilter),
        ("source", RelatedFilter),
        ("account", RelatedFilter),
        ("at", PeriodFilter),
    )
    list_select_related = ("source",)
    search_fields = ("source__name", "event_type", "cause")
    fields = (
        "period_start", "grain", "source", "account", "event_type", "verdict_label", "cause_word",
        "receipts", "receipt_bytes",
    )  # fmt: skip

    @column("Verdict")
    def verdict_label(self, rollup: ReceiptRollup) -> str:
        return label(rollup.verdict, VERDICT_COLOURS)
