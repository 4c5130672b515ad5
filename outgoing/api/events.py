"""The API of events: what happened, and publishing it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from outgoing import services
from outgoing.api.serializers import (
    AccountSerializer,
    BatchSerializer,
    ConsideredSerializer,
    DeliverySerializer,
    EventInListSerializer,
    EventSerializer,
    ExplainOptionsSerializer,
    ExplanationSerializer,
    NewEventSerializer,
    PublishBatchSerializer,
    PublishedBatchSerializer,
    PublishedSerializer,
    PublishSerializer,
)
from outgoing.drafting import NewEvent
from outgoing.errors import OutgoingError
from outgoing.explaining import explain_event
from outgoing.models import Delivery, Event
from outgoing.publishing import Published
from outgoing.querysets import EventQuerySet
from outgoing.together import publisher
from webhooks_project.accounts.models import Role
from webhooks_project.api.authentication import are_confirmed, generations_read
from webhooks_project.api.confirming import ConfirmedByStoring
from webhooks_project.api.errors import problem_of
from webhooks_project.api.filters import BooleanFilter, FilterSet, MomentFilter, PresenceFilter
from webhooks_project.api.rendering import ExactDataParser
from webhooks_project.api.scoping import AccountScopedViewSet, account_id_for_create
from webhooks_project.lib import clock

# Kept, since making a serializer takes longer than what it does. They keep nothing of a request.
NEW_EVENT: Final = NewEventSerializer()
BATCH: Final = BatchSerializer()
EVENT: Final = EventSerializer()
KEY_IN_HEADER: Final = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")
# Parts of a problem that are the whole answer's.
NOT_OF_A_RESULT: Final = ("type", "title", "status")


class EventFilter(FilterSet):
    since = MomentFilter(field_name="created_at", lookup_expr="gte")
    until = MomentFilter(field_name="created_at", lookup_expr="lt")

    quarantined = PresenceFilter(
        field_name="quarantined_at", help_text="Whether it waits for an operator's word."
    )

    scheduled = BooleanFilter(
        method="filter_scheduled", help_text="Whether it waits for the time to deliver it at."
    )

    class Meta:
        model = Event
        fields = ("account", "type", "idempotency_key", "correlation_id", "causation_id")

    def filter_scheduled(self, events: EventQuerySet, name: str, value: bool) -> EventQuerySet:
        now = clock.now()
        return events.scheduled(now) if value else events.not_scheduled(now)


class EventViewSet(
    ConfirmedByStoring, mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet
):
    """What happened, and publishing it."""

    storing = frozenset({"create", "batch"})

    queryset = Event.objects.all()
    filterset_class = EventFilter
    parser_classes = (ExactDataParser,)
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
        anything else gives 409.
        """
        fields = NEW_EVENT.run_validation(request.data)
        header = _idempotency_key(request)
        account_id = self._account_id(request)
        fields["idempotency_key"] = fields.get("idempotency_key") or header
        published = publisher.publish(
            _new_event(request, account_id, fields),
            generations=generations_read(request),
            are_confirmed=are_confirmed(request),
        )
        event = published.event
        body = EVENT.to_representation(event) | {
            "is_new": published.is_new,
            "deliveries": published.delivery_ids
            if published.is_new
            else list(event.deliveries.order_by("pk").values_list("pk", flat=True)),
        }
        return Response(
            body, status=status.HTTP_201_CREATED if published.is_new else status.HTTP_200_OK
        )

    def _account_id(self, request: Request) -> UUID:
        """The account to publish in: the one that is named, or the caller's only one."""
        named = None
        if "account" in request.data:
            serializer = AccountSerializer(data=request.data, context=self.get_serializer_context())
            serializer.is_valid(raise_exception=True)
            named = serializer.validated_data["account"]
        return account_id_for_create(self, named)

    @extend_schema(request=PublishBatchSerializer, responses=PublishedBatchSerializer)
    @action(detail=False, methods=["post"])
    def batch(self, request: Request) -> Response:
        """Publish up to 1,000 events: each that is acceptable, whatever the others are.

        The answer is 200 and says for each what became of it; those that were published are all
        stored by then. Each has an idempotency key of its own, so the header is refused.
        """
        if "Idempotency-Key" in request.headers:
            raise serializers.ValidationError(
                {"idempotency_key": ["each event of a batch has one of its own"]}
            )
        events = BATCH.run_validation(request.data)["events"]
        outcomes = _publish_batch(request, self._account_id(request), events)
        results = _results(outcomes)
        counts = Counter(result["status"] for result in results)
        return Response(
            {
                "published": counts["published"],
                "repeated": counts["repeated"],
                "refused": counts["refused"],
                "results": results,
            }
        )

    @extend_schema(request=None, responses=EventSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Take an event back before the time that it is to be delivered at."""
        event = services.cancel_event(event=self.get_object())
        return Response(EventSerializer().to_representation(event))

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

    @extend_schema(
        parameters=[ExplainOptionsSerializer], responses=ExplanationSerializer, filters=False
    )
    @action(detail=True, pagination_class=None)
    def explain(self, request: Request, pk: str) -> Response:
        """Every subscription of the account and what became of the event there, or why nothing."""
        options = ExplainOptionsSerializer(data=request.query_params.dict())
        options.is_valid(raise_exception=True)
        page = options.validated_data["page"]
        found = explain_event(self.get_object(), page=page)
        url = request.build_absolute_uri(request.path)
        following = f"{url}?page={page + 1}" if found.has_more else None
        return Response(
            {
                "count": found.count,
                "next": following,
                "results": ConsideredSerializer(found.rows, many=True).data,
            }
        )


def _idempotency_key(request: Request) -> str | None:
    """The header's. One that is no key is refused: the caller counts on it."""
    header: str | None = request.META.get("HTTP_IDEMPOTENCY_KEY")
    # Of a header that is not ASCII the web server hands over an empty text.
    if header is not None and not KEY_IN_HEADER.fullmatch(header):
        raise serializers.ValidationError(
            {"idempotency_key": ["the header has 1 to 255 visible characters of ASCII"]}
        )
    return header


def _new_event(request: Request, account_id: UUID, fields: Mapping[str, Any]) -> NewEvent:
    headers = request.META  # `headers` would be made of all of them
    return NewEvent(
        **{
            "account_id": account_id,
            "correlation_id": getattr(request, "request_id", ""),
            "traceparent": headers.get("HTTP_TRACEPARENT", ""),
            "tracestate": headers.get("HTTP_TRACESTATE", ""),
            **fields,
        }
    )


def _publish_batch(
    request: Request, account_id: UUID, events: Sequence[Any]
) -> list[Published | OutgoingError | serializers.ValidationError]:
    outcomes: dict[int, Published | OutgoingError | serializers.ValidationError] = {}
    new_events: dict[int, NewEvent] = {}
    for index, fields in enumerate(events):
        try:
            new_events[index] = _new_event(request, account_id, NEW_EVENT.run_validation(fields))
        except serializers.ValidationError as error:
            outcomes[index] = error
    found = publisher.publish_each(
        list(new_events.values()),
        generations=generations_read(request),
        are_confirmed=are_confirmed(request),
    )
    outcomes.update(zip(new_events, found, strict=True))
    return [outcomes[index] for index in range(len(events))]


def _results(
    outcomes: Sequence[Published | OutgoingError | serializers.ValidationError],
) -> list[dict[str, Any]]:
    repeated = [
        outcome.event.pk
        for outcome in outcomes
        if isinstance(outcome, Published) and not outcome.is_new
    ]
    known: dict[UUID, list[UUID]] = {}
    rows = Delivery.objects.filter(event__in=repeated) if repeated else Delivery.objects.none()
    for event_id, delivery_id in rows.order_by("pk").values_list("event", "pk"):
        known.setdefault(event_id, []).append(delivery_id)
    return [
        {
            "status": "published" if outcome.is_new else "repeated",
            "event": outcome.event.pk,
            "webhook_id": outcome.event.webhook_id,
            "deliveries": outcome.delivery_ids
            if outcome.is_new
            else known.get(outcome.event.pk, []),
            "warnings": outcome.warnings,
        }
        if isinstance(outcome, Published)
        else _refused(outcome)
        for outcome in outcomes
    ]


def _refused(error: OutgoingError | serializers.ValidationError) -> dict[str, Any]:
    problem = problem_of(error)
    return {
        "status": "refused",
        **{name: value for name, value in problem.items() if name not in NOT_OF_A_RESULT},
    }
