from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from outgoing import replays, services
from outgoing.api.serializers import (
    AttemptSerializer,
    ConsideredSerializer,
    DeliverySerializer,
    DeliveryWithAttemptsSerializer,
    EventInListSerializer,
    EventSerializer,
    PublishedSerializer,
    PublishSerializer,
    ReplaySerializer,
    StepSerializer,
)
from outgoing.explaining import explain_event, timeline_of
from outgoing.models import Attempt, Delivery, Event, Replay
from outgoing.selecting import Selection
from webhooks_project.accounts.models import Role
from webhooks_project.api.filters import FilterSet, MomentFilter, PresenceFilter
from webhooks_project.api.scoping import AccountScopedViewSet, account_for_create


class EventFilter(FilterSet):
    since = MomentFilter(field_name="created_at", lookup_expr="gte")
    until = MomentFilter(field_name="created_at", lookup_expr="lt")

    quarantined = PresenceFilter(
        field_name="quarantined_at", help_text="Whether it waits for an operator's word."
    )

    class Meta:
        model = Event
        fields = ("account", "type", "idempotency_key", "correlation_id", "causation_id")


class EventViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """What happened, and publishing it."""

    queryset = Event.objects.all()
    filterset_class = EventFilter
    roles: ClassVar = {"release": Role.OPERATOR, "drop": Role.OPERATOR}

    def get_serializer_class(self) -> Any:
        return EventInListSerializer if self.action == "list" else EventSerializer

    def get_queryset(self) -> QuerySet[Event]:
        queryset = super().get_queryset()
        return queryset.defer("data") if self.action == "list" else queryset

    @extend_schema(
        request=PublishSerializer,
        responses={201: PublishedSerializer, 200: PublishedSerializer},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
    )
    def create(self, request: Request) -> Response:
        """Publish an event: 201 means that it and all its deliveries are stored.

        With an idempotency key the same call again gives the first event with 200; the key with
        another type or other data gives 409.
        """
        serializer = PublishSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        header = request.headers.get("Idempotency-Key", "")
        if len(header) > 255:
            raise serializers.ValidationError({"idempotency_key": ["at most 255 characters"]})
        published = services.publish(
            account=account_for_create(self, fields.pop("account", None)),
            idempotency_key=fields.pop("idempotency_key", None) or header or None,
            correlation_id=getattr(request, "request_id", ""),
            **fields,
        )
        event = published.event
        body = EventSerializer().to_representation(event) | {
            "is_new": published.is_new,
            "deliveries": published.delivery_ids
            if published.is_new
            else list(event.deliveries.order_by("pk").values_list("pk", flat=True)),
            "warnings": list(published.warnings),
        }
        return Response(
            body, status=status.HTTP_201_CREATED if published.is_new else status.HTTP_200_OK
        )

    @extend_schema(request=None, responses=EventSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """Deliver an event in quarantine as it is, to those that match it now."""
        event = services.release_event(event=self.get_object())
        return Response(EventSerializer().to_representation(event))

    @extend_schema(request=None, responses=EventSerializer)
    @action(detail=True, methods=["post"])
    def drop(self, request: Request, pk: str) -> Response:
        """End an event's quarantine for good: it goes to nobody."""
        event = services.drop_event(event=self.get_object())
        return Response(EventSerializer().to_representation(event))

    @extend_schema(responses=DeliverySerializer(many=True), filters=False)
    @action(detail=True)
    def deliveries(self, request: Request, pk: str) -> Response:
        """What became of the event: a delivery for each subscription that it matched."""
        found = self.get_object().deliveries.select_related("retry").order_by("created_at")
        return Response(DeliverySerializer(found, many=True).data)

    @extend_schema(responses=ConsideredSerializer(many=True), filters=False)
    @action(detail=True)
    def explain(self, request: Request, pk: str) -> Response:
        """Every subscription of the account and what became of the event there, or why nothing."""
        found = explain_event(self.get_object())
        return Response(ConsideredSerializer(found, many=True).data)


class DeliveryFilter(FilterSet):
    since = MomentFilter(field_name="created_at", lookup_expr="gte")
    until = MomentFilter(field_name="created_at", lookup_expr="lt")
    event_type = filters.CharFilter(field_name="event__type")

    class Meta:
        model = Delivery
        fields = (
            "account", "status", "subscription", "event", "last_cause", "fingerprint", "replay",
        )  # fmt: skip


class DeliveryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """The duties to deliver, and their state."""

    queryset = Delivery.objects.select_related("retry")
    filterset_class = DeliveryFilter
    roles: ClassVar = {"redeliver": Role.OPERATOR, "cancel": Role.OPERATOR}

    def get_serializer_class(self) -> Any:
        return DeliverySerializer if self.action == "list" else DeliveryWithAttemptsSerializer

    def get_queryset(self) -> QuerySet[Delivery]:
        queryset = super().get_queryset()
        return queryset if self.action == "list" else queryset.prefetch_related("attempts")

    @extend_schema(request=None, responses=DeliveryWithAttemptsSerializer)
    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, pk: str) -> Response:
        """Carry it again from the start of the retry schedule, with the same `webhook-id`."""
        services.redeliver_one(delivery=self.get_object())
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses=DeliveryWithAttemptsSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Give up a pending or held delivery."""
        services.cancel_delivery(delivery=self.get_object())
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(responses=StepSerializer(many=True), filters=False)
    @action(detail=True)
    def timeline(self, request: Request, pk: str) -> Response:
        """The delivery's whole way in order, and what it waits for."""
        return Response(StepSerializer(timeline_of(self.get_object()), many=True).data)


class AttemptFilter(FilterSet):
    since = MomentFilter(field_name="started_at", lookup_expr="gte")
    until = MomentFilter(field_name="started_at", lookup_expr="lt")
    subscription = filters.UUIDFilter(field_name="delivery__subscription_id")

    class Meta:
        model = Attempt
        fields = ("delivery", "outcome", "cause", "status_code")


class AttemptViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Every HTTP try there was."""

    account_path = "delivery__account_id"
    queryset = Attempt.objects.select_related("delivery")
    serializer_class = AttemptSerializer
    filterset_class = AttemptFilter
    ordering = "-started_at"


class ReplayViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Past events carried again."""

    queryset = Replay.objects.all()
    serializer_class = ReplaySerializer
    filterset_fields = ("account", "status", "kind", "subscription")
    roles: ClassVar = dict.fromkeys(("create", "run", "pause", "resume", "cancel"), Role.OPERATOR)

    @extend_schema(request=ReplaySerializer, responses={201: ReplaySerializer})
    def create(self, request: Request) -> Response:
        """Plan a replay: `plan` says what it would come to. Nothing is sent yet."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        kind = fields.pop("kind", Replay.Kind.REPLAY)
        replay = replays.plan_replay(Selection(account=account, **fields), kind)
        return Response(self.get_serializer(replay).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=ReplaySerializer)
    @action(detail=True, methods=["post"])
    def run(self, request: Request, pk: str) -> Response:
        """Carry out a planned replay, or go on with one that failed."""
        return Response(self.get_serializer(replays.start_replay(self.get_object())).data)

    @extend_schema(request=None, responses=ReplaySerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Put no more deliveries in line until it is resumed."""
        return Response(self.get_serializer(replays.pause_replay(self.get_object())).data)

    @extend_schema(request=None, responses=ReplaySerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Go on with a paused replay."""
        return Response(self.get_serializer(replays.resume_replay(self.get_object())).data)

    @extend_schema(request=None, responses=ReplaySerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Put no more deliveries in line."""
        return Response(self.get_serializer(replays.cancel_replay(self.get_object())).data)
