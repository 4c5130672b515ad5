from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from webhooks_project.accounts import services
from webhooks_project.accounts.models import KEPT_DAYS_FIELDS, MAX_KEPT_DAYS, Account, Role
from webhooks_project.api.scoping import AccountScopedViewSet


class AccountSerializer(serializers.ModelSerializer[Account]):
    """A tenant. How many days it keeps the bodies of its receipts and the receipts, the data of
    its events and the events, and dead letters that nobody takes up: null is for ever. What happens
    to an event whose type is not in its
    catalogue, and who may read that."""

    class Meta:
        model = Account
        fields = (
            "id", "name", "slug", *KEPT_DAYS_FIELDS, "unknown_event_types",
            "has_public_catalogue", "asks_for_ownership", "time_zone", "created_at",
        )  # fmt: skip
        read_only_fields = ("slug",)
        extra_kwargs: ClassVar = {name: {"max_value": MAX_KEPT_DAYS} for name in KEPT_DAYS_FIELDS}


class AccountViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """The tenants that the caller belongs to."""

    account_path = "pk"
    queryset = Account.objects.all()
    serializer_class = AccountSerializer
    ordering = ("name", "id")
    roles: ClassVar = {"partial_update": Role.ADMIN, "set_member": Role.ADMIN}

    @extend_schema(request=AccountSerializer(partial=True), responses=AccountSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields."""
        serializer = self.get_serializer(self.get_object(), data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        services.change_account(account=self.get_object(), **serializer.validated_data)
        return Response(self.get_serializer(self.get_object()).data)
