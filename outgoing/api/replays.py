"""The API of replays of events."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from outgoing import replays
from outgoing.api.serializers import ReplaySerializer
from outgoing.models import Replay
from outgoing.selecting import Selection
from webhooks_project.accounts.models import Role
from webhooks_project.api.scoping import AccountScopedViewSet, account_for_create


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
