"""Questions to the rollups over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.api.views import account_ids_of
from analytics.forecasts import volume_of
from analytics.integrations import integration_health
from analytics.query import Dimension, Granularity, Measure, Query, Row, answer
from analytics.spans import FIRST_YEAR, LAST_YEAR, is_of_our_time
from analytics.tops import MAX_TOP, Top, top
from analytics.trends import MIN_DAYS, WITHIN
from analytics.widgets import VOLUMES
from webhooks_project.lib import clock

MAX_FILTERED: Final = 200  # values of one filter
MAX_PERIOD: Final = timedelta(days=3 * 366)
MAX_HISTORY_DAYS: Final = 366
MAX_AHEAD_DAYS: Final = 90
DEFAULT_MEASURES: Final = ("attempts", "success_rate")


@extend_schema_field(OpenApiTypes.STR)
class ListField(serializers.Field[Any, Any, Any, Any]):
    """Words divided by commas, or a parameter that comes several times."""

    def __init__(self, words: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._words = words

    def get_value(self, dictionary: Any) -> Any:
        given = dictionary.getlist(self.field_name)
        return given or serializers.empty

    def to_internal_value(self, data: Any) -> list[Any]:
        found = []
        for word in (part.strip() for text in data for part in text.split(",")):
            if word and word not in found:
                try:
                    found.append(self._words(word))
                except ValueError as error:
                    known = ", ".join(self._words)
                    raise serializers.ValidationError(
                        f"{word[:64]!r} is none of {known}", code="unknown_word"
                    ) from error
        return found

    def to_representation(self, value: Any) -> Any:
        return value


class PeriodSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField(required=False, help_text="By default a day before `until`.")
    until = serializers.DateTimeField(required=False, help_text="By default now.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        until: datetime = attrs.get("until") or clock.now()
        try:
            since: datetime = attrs.get("since") or until - self.default_period
        except OverflowError as error:
            raise serializers.ValidationError(
                {"until": ["too early"]}, code="period_not_acceptable"
            ) from error
        if not timedelta() < until - since <= MAX_PERIOD:
            raise serializers.ValidationError(
                {"until": ["after since, by three years at most"]}, code="period_not_acceptable"
            )
        if not is_of_our_time(since, until):
            raise serializers.ValidationError(
                {"since": [f"from {FIRST_YEAR} to {LAST_YEAR}"]}, code="period_not_acceptable"
            )
        return {**attrs, "since": since, "until": until}

    @property
    def default_period(self) -> timedelta:
        return timedelta(days=1)


class QuerySerializer(PeriodSerializer):
    measures = ListField(Measure, required=False)
    dimensions = ListField(Dimension, required=False)
    granularity = serializers.ChoiceField(choices=[item.value for item in Granularity],
                                          required=False)  # fmt: skip
    time_zone = serializers.CharField(default="UTC", max_length=64)
    compare = serializers.BooleanField(default=False)
    order_by = serializers.ChoiceField(choices=[item.value for item in Measure], required=False)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=1_000)


class AnswerRowSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField(allow_null=True, help_text="The period's start.")
    hour_of_week = serializers.IntegerField(allow_null=True, help_text="0 is Monday, midnight.")
    keys = serializers.DictField(child=serializers.CharField(), help_text="By dimension.")
    values = serializers.DictField(
        child=serializers.FloatField(allow_null=True), help_text="By measure."
    )
    before = serializers.DictField(
        child=serializers.FloatField(allow_null=True), allow_null=True,
        help_text="The same in the period before, where that was asked for.",
    )  # fmt: skip


class AnswerSerializer(serializers.Serializer[Any]):
    """`is_exact` is false where an edge of the period lies within an hour or a day that is kept as
    a whole only."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    since_before = serializers.DateTimeField(allow_null=True)
    is_exact = serializers.BooleanField()
    rows = AnswerRowSerializer(many=True)


_FILTERS: Final = [
    OpenApiParameter(
        str(dimension), str, many=True, description=f"Only of this {dimension}; several by commas."
    )
    for dimension in Dimension
]


class QueryView(APIView):
    """Measures by dimensions and time, over a period, in a time zone."""

    @extend_schema(
        parameters=[
            QuerySerializer,
            OpenApiParameter("measures", str, many=True, enum=[item.value for item in Measure]),
            OpenApiParameter("dimensions", str, many=True, enum=[item.value for item in Dimension]),
            *_FILTERS,
        ],
        responses=AnswerSerializer,
    )
    def get(self, request: Request) -> Response:
        """Ask. What cannot be answered is refused with its cause as the `code`."""
        given = _given(QuerySerializer, request)
        granularity, order_by = given.get("granularity"), given.get("order_by")
        found = answer(
            Query(
                account_ids=account_ids_of(request),
                measures=given.get("measures") or [Measure(name) for name in DEFAULT_MEASURES],
                dimensions=given.get("dimensions", ()),
                granularity=Granularity(granularity) if granularity else None,
                filters=_filters(request),
                since=given["since"],
                until=given["until"],
                time_zone=given["time_zone"],
                compare=given["compare"],
                order_by=Measure(order_by) if order_by else None,
                limit=given.get("limit"),
            )
        )
        return Response(
            {
                "since": found.since,
                "until": found.until,
                "since_before": found.since_before,
                "is_exact": found.is_exact,
                "rows": [_shown(row) for row in found.rows],
            }
        )


def _given(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    found = serializer(data=request.query_params)
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)


def _filters(request: Request) -> dict[Dimension, list[str]]:
    found: dict[Dimension, list[str]] = {}
    for dimension in Dimension:
        texts = request.query_params.getlist(str(dimension))
        values = [value.strip() for text in texts for value in text.split(",") if value.strip()]
        if len(values) > MAX_FILTERED:
            raise serializers.ValidationError({str(dimension): [f"at most {MAX_FILTERED}"]})
        if values:
            found[dimension] = values
    return found


def _shown(row: Row) -> dict[str, Any]:
    return {
        "at": row.at,
        "hour_of_week": row.hour_of_week,
        # Plain strings: the renderer takes no others for keys.
        "keys": {str(dimension): name for dimension, name in row.keys.items()},
        "values": {str(measure): value for measure, value in row.values.items()},
        "before": None
        if row.before is None
        else {str(measure): value for measure, value in row.before.items()},
    }


# --- lists ----------------------------------------------------------------------------------------


class TopSerializer(PeriodSerializer):
    limit = serializers.IntegerField(default=10, min_value=1, max_value=MAX_TOP)

    @property
    def default_period(self) -> timedelta:
        return timedelta(days=7)


class ItemSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    account = serializers.UUIDField(source="account_id")
    name = serializers.CharField()
    values = serializers.DictField(child=serializers.FloatField(allow_null=True))


class TopView(APIView):
    """What stands out: failing-endpoints, slowest-endpoints, noisiest-sources, unused-types,
    unused-subscriptions."""

    @extend_schema(
        parameters=[TopSerializer, OpenApiParameter("kind", str, "path", enum=list(Top))],
        responses=ItemSerializer(many=True),
    )
    def get(self, request: Request, kind: str) -> Response:
        """The most striking first; by default of the last seven days."""
        if kind not in list(Top):
            raise NotFound
        given = _given(TopSerializer, request)
        found = top(Top(kind), account_ids=account_ids_of(request), **given)
        return Response(ItemSerializer(found, many=True).data)


class TrendQuerySerializer(serializers.Serializer[Any]):
    measure = serializers.ChoiceField(
        choices=[item.value for item in VOLUMES], default=Measure.ATTEMPTS.value
    )
    days = serializers.IntegerField(default=56, min_value=MIN_DAYS, max_value=MAX_HISTORY_DAYS)
    ahead = serializers.IntegerField(default=14, min_value=0, max_value=MAX_AHEAD_DAYS)
    time_zone = serializers.CharField(default="UTC", max_length=64)


class DayCountSerializer(serializers.Serializer[Any]):
    day = serializers.DateField()
    value = serializers.IntegerField()


class ExpectedSerializer(serializers.Serializer[Any]):
    day = serializers.DateField()
    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class TrendSerializer(serializers.Serializer[Any]):
    """Whole days up to yesterday, and what is expected of those from today on; `within` is the
    share of days that should fall between low and high. None where there are too few days."""

    measure = serializers.CharField()
    method = serializers.CharField()
    within = serializers.FloatField()
    history = DayCountSerializer(many=True)
    expected = ExpectedSerializer(many=True)


class TrendView(APIView):
    """Usage by day, and a forecast of it."""

    @extend_schema(parameters=[TrendQuerySerializer, *_FILTERS], responses=TrendSerializer)
    def get(self, request: Request) -> Response:
        """Volume by day, and what is expected: the weekday's share times a straight line."""
        given = _given(TrendQuerySerializer, request)
        found = volume_of(
            Measure(given["measure"]),
            days=given["days"],
            ahead=given["ahead"],
            time_zone=given["time_zone"],
            account_ids=account_ids_of(request),
            filters=_filters(request),
        )
        return Response(
            TrendSerializer(
                {
                    "measure": given["measure"],
                    "method": "weekday factors and a least-squares line",
                    "within": WITHIN,
                    "history": [{"day": day, "value": count} for day, count in found.history],
                    "expected": found.expected,
                }
            ).data
        )


class IntegrationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    account = serializers.UUIDField(source="account_id")
    name = serializers.CharField()
    status = serializers.CharField()
    last_success_at = serializers.DateTimeField(allow_null=True)
    trend = serializers.CharField(help_text="Of volume: rising, falling, steady or new.")
    values = serializers.DictField(child=serializers.FloatField(allow_null=True))
    before = serializers.DictField(child=serializers.FloatField(allow_null=True))


class HealthReportSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    endpoints = IntegrationSerializer(many=True)
    sources = IntegrationSerializer(many=True)


class WeekSerializer(PeriodSerializer):
    @property
    def default_period(self) -> timedelta:
        return timedelta(days=7)


class IntegrationHealthView(APIView):
    """How each endpoint and each source does."""

    @extend_schema(parameters=[WeekSerializer], responses=HealthReportSerializer)
    def get(self, request: Request) -> Response:
        """Volume, success and latency against the period before; by default of seven days."""
        found = integration_health(
            account_ids=account_ids_of(request), **_given(WeekSerializer, request)
        )
        return Response(HealthReportSerializer(found).data)
