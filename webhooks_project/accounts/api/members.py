from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from webhooks_project.accounts import services
from webhooks_project.accounts.models import Membership, Role
from webhooks_project.api.scoping import AccountField, AccountScopedViewSet, account_for_create


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    """A user's role in an account; the user is named by their username."""

    account = AccountField()
    user = serializers.CharField(source="user.username", max_length=150)

    class Meta:
        model = Membership
        fields = ("id", "account", "user", "role")
        extra_kwargs: ClassVar = {"role": {"required": True}}
        validators: ClassVar[list[Any]] = []


class MembershipViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Who may act for the accounts, and as what."""

    queryset = Membership.objects.select_related("user")
    serializer_class = MembershipSerializer
    filterset_fields = ("account", "role")
    ordering = "id"
    roles: ClassVar = {
        "list": Role.ADMIN,
        "retrieve": Role.ADMIN,
        "create": Role.ADMIN,
        "destroy": Role.ADMIN,
    }

    @extend_schema(request=MembershipSerializer, responses={201: MembershipSerializer})
    def create(self, request: Request) -> Response:
        """Give a user a role, in place of the one that they had."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        membership = services.set_membership(
            account=account_for_create(self, asked.get("account")),
            user=services.user_named(asked["user"]["username"]),
            role=Role(asked["role"]),
        )
        return Response(self.get_serializer(membership).data, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        """Take a user out of the account."""
        services.end_membership(membership=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
