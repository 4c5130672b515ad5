from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from analytics import dashboards as services
from analytics.api.looking import LookSerializer, data_of
from analytics.defaults import DEFAULTS, DefaultDashboard
from analytics.models import Dashboard, Widget
from analytics.models.dashboards import MAX_HEIGHT, MAX_WIDTH
from analytics.widgets import MAX_ROWS, spec_of
from webhooks_project.accounts.models import Account, Role, User
from webhooks_project.api.authentication import caller_of
from webhooks_project.api.filters import FilterSet
from webhooks_project.api.scoping import (
    AccountField,
    AccountScopedViewSet,
    account_for_create,
    scoped,
)


class WidgetFields(serializers.ModelSerializer[Widget]):
    """A stored query, and how it is drawn. An empty `granularity` follows the period that is looked
    at; `none` has no axis of time. `filters` are lists of values by dimension."""

    measures = serializers.ListField(child=serializers.CharField(max_length=32), required=False)
    dimensions = serializers.ListField(child=serializers.CharField(max_length=32), required=False)
    filters = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(allow_blank=True)), required=False
    )

    class Meta:
        model = Widget
        fields: ClassVar[tuple[str, ...]] = ("id", *services.WIDGET_FIELDS, "position")
        read_only_fields = ("position",)
        extra_kwargs: ClassVar = {
            "limit": {"min_value": 1, "max_value": MAX_ROWS},
            "width": {"min_value": 1, "max_value": MAX_WIDTH},
            "height": {"min_value": 1, "max_value": MAX_HEIGHT},
        }


class WidgetSerializer(WidgetFields):
    class Meta(WidgetFields.Meta):
        fields: ClassVar[tuple[str, ...]] = ("id", "dashboard", *WidgetFields.Meta.fields[1:])


class DashboardSerializer(serializers.ModelSerializer[Dashboard]):
    """A page of widgets, shared with its account or its owner's own."""

    account = AccountField()
    owner = serializers.IntegerField(source="owner_id", read_only=True, allow_null=True)
    widgets = WidgetFields(many=True, read_only=True)

    class Meta:
        model = Dashboard
        fields = (
            "id", "account", "owner", "name", "description", "is_shared", "created_at",
            "changed_at", "widgets",
        )  # fmt: skip


class CopySerializer(serializers.Serializer[Any]):
    """How the copy is called, and who sees it."""

    account = AccountField()
    name = serializers.CharField(max_length=120, required=False)
    is_shared = serializers.BooleanField(default=True)


class PlaceSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    width = serializers.IntegerField(min_value=1, max_value=MAX_WIDTH)
    height = serializers.IntegerField(min_value=1, max_value=MAX_HEIGHT)


class ArrangementSerializer(serializers.Serializer[Any]):
    """Every widget of the dashboard, in order."""

    widgets = PlaceSerializer(many=True)


class DataSerializer(serializers.Serializer[Any]):
    """The figures of a dashboard's widgets in one period. `rows` are those of the query: `at` is
    the start of its step, `hour_of_week` 0 (Monday, midnight) to 167, `keys` ids or values by
    dimension, `names` what people call them. `problem` says why a widget has none."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    time_zone = serializers.CharField()
    widgets = serializers.ListField(child=serializers.DictField())


class DashboardFilter(FilterSet):
    class Meta:
        model = Dashboard
        fields = ("account",)


def _seen(queryset: Any, request: Request) -> Any:
    return queryset.seen_by(request.user.pk)


class DashboardViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Pages of figures that people make and arrange."""

    queryset = Dashboard.objects.prefetch_related("widgets")
    serializer_class = DashboardSerializer
    filterset_class = DashboardFilter
    lookup_value_regex = "[0-9a-f-]{36}"
    ordering = ("name", "id")
    roles: ClassVar = {"open_board": Role.VIEWER}  # as the console calls a look at its figures

    def get_queryset(self) -> Any:
        found = super().get_queryset()
        return found if getattr(self, "swagger_fake_view", False) else _seen(found, self.request)

    def create(self, request: Request) -> Response:
        """Make a dashboard without widgets. One made by a key is shared: it has no owner."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        made = services.create_dashboard(account=account, owner=_user(request), **fields)
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=DashboardSerializer(partial=True), responses=DashboardSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields."""
        dashboard = self.get_object()
        serializer = self.get_serializer(dashboard, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        if fields.pop("account", dashboard.account) != dashboard.account:
            raise serializers.ValidationError({"account": ["a dashboard stays in its account"]})
        services.change_dashboard(dashboard=dashboard, by=_user(request), **fields)
        return self._current()

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete it, with its widgets and the reports that are of it."""
        services.delete_dashboard(dashboard=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=CopySerializer, responses={201: DashboardSerializer})
    @action(detail=True, methods=["post"])
    def copy(self, request: Request, pk: str) -> Response:
        """Make another one with the same widgets, in the same account unless another is named."""
        dashboard = self.get_object()
        serializer = CopySerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", dashboard.account))
        made = services.copy_dashboard(
            of=dashboard, account=account, owner=_user(request), **fields
        )
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ArrangementSerializer, responses=DashboardSerializer)
    @action(detail=True, methods=["post"])
    def arrange(self, request: Request, pk: str) -> Response:
        """Put the widgets in an order, and give each its size."""
        dashboard = self.get_object()
        serializer = ArrangementSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        places = [services.Place(**place) for place in serializer.validated_data["widgets"]]
        services.arrange(dashboard=dashboard, places=places)
        return self._current()

    @extend_schema(parameters=[LookSerializer], responses=DataSerializer)
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def data(self, request: Request, pk: str) -> Response:
        """What its widgets show of a period."""
        dashboard = self.get_object()
        specs = [spec_of(widget) for widget in dashboard.widgets.all()]
        return Response(data_of(specs, [dashboard.account_id], request, dashboard.account))

    def _current(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)


class WidgetFilter(FilterSet):
    class Meta:
        model = Widget
        fields = ("dashboard",)


class WidgetViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """The figures of dashboards."""

    account_path = "dashboard__account_id"
    queryset = Widget.objects.select_related("dashboard")
    serializer_class = WidgetSerializer
    filterset_class = WidgetFilter
    lookup_value_regex = "[0-9a-f-]{36}"
    ordering = ("dashboard", "position", "id")
    roles: ClassVar[dict[str, Role]] = {}

    def get_queryset(self) -> Any:
        found = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return found
        seen = _seen(scoped(Dashboard.objects.all(), self.request, "account_id"), self.request)
        return found.filter(dashboard__in=seen)

    def create(self, request: Request) -> Response:
        """Add a widget behind the others of its dashboard."""
        serializer: Any = self.get_serializer(data=request.data)
        # Of another account's dashboard nothing is said but that there is none.
        seen = _seen(scoped(Dashboard.objects.all(), request, "account_id"), request)
        serializer.fields["dashboard"].queryset = seen
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        self.check_object_permissions(request, fields["dashboard"])
        made = services.add_widget(**fields)
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=WidgetSerializer(partial=True), responses=WidgetSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields."""
        widget = self.get_object()
        serializer = WidgetFields(widget, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        services.change_widget(widget=widget, **serializer.validated_data)
        return Response(self.get_serializer(self.get_object()).data)

    def destroy(self, request: Request, pk: str) -> Response:
        """Take it away; the others keep their order."""
        services.remove_widget(widget=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


class DefaultWidgetSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.CharField()
    measures = serializers.ListField(child=serializers.CharField())
    dimensions = serializers.ListField(child=serializers.CharField())
    width = serializers.IntegerField()
    height = serializers.IntegerField()


class DefaultDashboardSerializer(serializers.Serializer[Any]):
    """A dashboard that every account has."""

    key = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    widgets = DefaultWidgetSerializer(many=True)


_KEY = OpenApiParameter("key", OpenApiTypes.STR, OpenApiParameter.PATH, enum=list(DEFAULTS))


class DefaultDashboardViewSet(ViewSet):
    """The dashboards that every account has, without anybody having made them."""

    lookup_field = "key"
    lookup_value_regex = "[a-z_]{1,32}"
    roles: ClassVar[dict[str, Role]] = {}

    @extend_schema(responses=DefaultDashboardSerializer(many=True))
    def list(self, request: Request) -> Response:
        """All of them."""
        return Response(DefaultDashboardSerializer(list(DEFAULTS.values()), many=True).data)

    @extend_schema(parameters=[_KEY], responses=DefaultDashboardSerializer)
    def retrieve(self, request: Request, key: str) -> Response:
        """One, with its widgets."""
        return Response(DefaultDashboardSerializer(_default(key)).data)

    @extend_schema(
        parameters=[
            _KEY, LookSerializer,
            OpenApiParameter("account", OpenApiTypes.UUID, description="By default all of yours."),
        ],
        responses=DataSerializer,
    )  # fmt: skip
    @action(detail=True, methods=["get"])
    def data(self, request: Request, key: str) -> Response:
        """What its widgets show of a period, of one account or of all that are the caller's."""
        default = _default(key)
        ids, account = _accounts(request)
        return Response(data_of(default.widgets, ids, request, account))

    @extend_schema(parameters=[_KEY], request=CopySerializer, responses={201: DashboardSerializer})
    @action(detail=True, methods=["post"])
    def copy(self, request: Request, key: str) -> Response:
        """Make a dashboard of one's own with these widgets, to be changed."""
        default = _default(key)
        serializer = CopySerializer(data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        made = services.copy_dashboard(of=default, account=account, owner=_user(request), **fields)
        return Response(
            DashboardSerializer(made, context={"request": request}).data,
            status=status.HTTP_201_CREATED,
        )


def _default(key: str) -> DefaultDashboard:
    if key not in DEFAULTS:
        raise NotFound
    return DEFAULTS[key]


def _accounts(request: Request) -> tuple[list[UUID] | None, Account | None]:
    """Whose figures are meant. None for every account: platform staff that names none."""
    caller = caller_of(request)
    if text := request.query_params.get("account"):
        field = serializers.UUIDField()
        try:
            key = field.run_validation(text)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({"account": error.detail}) from error
        account = scoped(Account.objects.all(), request, "pk").filter(pk=key).first()
        if account is None:
            raise NotFound
        return [account.pk], account
    if caller.everything:
        return None, None
    accounts = list(Account.objects.filter(pk__in=list(caller.roles)))
    return [account.pk for account in accounts], accounts[0] if len(accounts) == 1 else None


def _user(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None
