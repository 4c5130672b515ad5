from __future__ import annotations

from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from incoming import services
from incoming.api.serializers import RouteOrderSerializer, RouteSerializer
from incoming.models import Route, Source
from webhooks_project.api.scoping import AccountScopedViewSet, scoped

SOURCE_ID = OpenApiParameter("source_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


@extend_schema_view(
    list=extend_schema(parameters=[SOURCE_ID]), retrieve=extend_schema(parameters=[SOURCE_ID])
)
class RouteViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """The rules of one source: which receipts, and what follows from them, in order."""

    account_path = "source__account_id"
    queryset = Route.objects.select_related("source")
    serializer_class = RouteSerializer
    ordering = ("position", "id")

    @cached_property
    def source(self) -> Source:
        """The source that the URL names. Raises Http404 and PermissionDenied."""
        sources = scoped(Source.objects.all(), self.request, "account_id")
        source: Source = get_object_or_404(sources, pk=self.kwargs["source_id"])
        self.check_object_permissions(self.request, source)
        return source

    def get_queryset(self) -> QuerySet[Route]:
        queryset: QuerySet[Route] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset
        return queryset.filter(source=self.source)

    @extend_schema(
        parameters=[SOURCE_ID], request=RouteSerializer, responses={201: RouteSerializer}
    )
    def create(self, request: Request, source_id: str) -> Response:
        """Add a route after the others."""
        source = self.source
        route = services.add_route(source=source, **self._given())
        return Response(self.get_serializer(route).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        parameters=[SOURCE_ID], request=RouteSerializer(partial=True), responses=RouteSerializer
    )
    def partial_update(self, request: Request, source_id: str, pk: str) -> Response:
        """Change the given fields, for receipts processed from now on."""
        route = services.change_route(route=self.get_object(), **self._given(partial=True))
        return self._shown(route)

    @extend_schema(parameters=[SOURCE_ID])
    def destroy(self, request: Request, source_id: str, pk: str) -> Response:
        """Let nothing follow by it any more; what has followed stays."""
        services.delete_route(route=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(parameters=[SOURCE_ID], request=None, responses=RouteSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, source_id: str, pk: str) -> Response:
        """Follow it again."""
        return self._shown(services.set_route_enabled(route=self.get_object(), enabled=True))

    @extend_schema(parameters=[SOURCE_ID], request=None, responses=RouteSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, source_id: str, pk: str) -> Response:
        """Pass it over."""
        return self._shown(services.set_route_enabled(route=self.get_object(), enabled=False))

    @extend_schema(
        parameters=[SOURCE_ID],
        request=RouteOrderSerializer,
        responses=RouteSerializer(many=True),
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def reorder(self, request: Request, source_id: str) -> Response:
        """Follow the routes in this order."""
        source = self.source
        serializer = RouteOrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        routes = services.reorder_routes(source=source, routes=serializer.validated_data["routes"])
        return Response(self.get_serializer(routes, many=True).data)

    def _given(self, *, partial: bool = False) -> dict[str, Any]:
        serializer = self.get_serializer(data=self.request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def _shown(self, route: Route) -> Response:
        return Response(self.get_serializer(route).data)
