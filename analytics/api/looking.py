"""The period that a dashboard is looked at in, and its figures as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request

from analytics.asking import figures_of
from analytics.shown import Figures, Line
from analytics.spans import DEFAULT, NAMED, Period, named_period, own_period
from analytics.widgets import WidgetSpec
from webhooks_project.accounts.models import Account, User
from webhooks_project.lib import clock


class LocalMomentField(serializers.DateTimeField):
    """ISO 8601; without an offset it is of a time zone that is known later."""

    def enforce_timezone(self, value: datetime) -> datetime:
        return value


class LookSerializer(serializers.Serializer[Any]):
    """A period by name, or `since` and `until`; times without an offset are of the time zone."""

    period = serializers.ChoiceField(choices=list(NAMED), required=False)
    since = LocalMomentField(required=False)
    until = LocalMomentField(required=False)
    time_zone = serializers.CharField(
        max_length=64, required=False, help_text="By default yours, else the account's, else UTC."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("since" in attrs) != ("until" in attrs):
            missing = "until" if "since" in attrs else "since"
            raise serializers.ValidationError({missing: ["since and until come together"]})
        return attrs


def period_of(request: Request, account: Account | None) -> Period:
    """The asked period. Raises ValidationError, PeriodNotAcceptable and TimeZoneUnknown."""
    look = LookSerializer(data=request.query_params)
    look.is_valid(raise_exception=True)
    asked = look.validated_data
    own = request.user.time_zone if isinstance(request.user, User) else ""
    zone = asked.get("time_zone") or own or (account.time_zone if account else "") or "UTC"
    if "since" in asked:
        return own_period(asked["since"], asked["until"], time_zone=zone)
    return named_period(asked.get("period", DEFAULT), now=clock.now(), time_zone=zone)


def data_of(
    specs: Sequence[WidgetSpec],
    account_ids: Sequence[UUID] | None,
    request: Request,
    account: Account | None,
) -> dict[str, Any]:
    """The answer of `data`."""
    period = period_of(request, account)
    found = figures_of(specs, account_ids=account_ids, period=period)
    return {
        "since": _moment(period.since),
        "until": _moment(period.until),
        "time_zone": period.time_zone,
        "widgets": [_widget(figures) for figures in found],
    }


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _widget(figures: Figures) -> dict[str, Any]:
    return {
        "id": figures.spec.key,
        "title": figures.spec.title,
        "kind": figures.spec.kind,
        "granularity": figures.step,
        "measures": [measure.name for measure in figures.measures],
        "dimensions": list(figures.spec.dimensions),
        "problem": figures.problem,
        "rows": [_row(line) for line in figures.lines],
    }


def _row(line: Line) -> dict[str, Any]:
    return {
        "at": line.at and _moment(line.at),
        "hour_of_week": line.hour,
        "keys": {key.dimension: key.value for key in line.keys},
        "names": {key.dimension: key.name for key in line.keys},
        "values": dict(line.values),
        "before": None if line.before is None else dict(line.before),
    }
