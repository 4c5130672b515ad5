from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from webhooks_project.accounts import services
from webhooks_project.accounts.models import ApiKey, Role
from webhooks_project.api.scoping import AccountField, AccountScopedViewSet, account_for_create


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    """A key for programs, by its prefix: the key itself was shown once. Its scopes are roles, and
    the highest counts."""

    account = AccountField()
    scopes = serializers.ListField(
        child=serializers.ChoiceField(Role.choices), allow_empty=False, max_length=len(Role)
    )

    class Meta:
        model = ApiKey
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "name", "prefix", "scopes", "created_at", "expires_at", "revoked_at",
            "last_used_at",
        )  # fmt: skip
        read_only_fields = ("prefix",)


class NewApiKeySerializer(ApiKeySerializer):
    """A key just made: the only time that it is shown."""

    key = serializers.CharField(read_only=True)

    class Meta(ApiKeySerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*ApiKeySerializer.Meta.fields, "key")


class ApiKeyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Keys for programs. They are made and revoked, never changed."""

    queryset = ApiKey.objects.all()
    serializer_class = ApiKeySerializer
    filterset_fields = ("account",)
    roles: ClassVar = {
        "list": Role.ADMIN,
        "retrieve": Role.ADMIN,
        "create": Role.ADMIN,
        "revoke": Role.ADMIN,
    }

    @extend_schema(request=ApiKeySerializer, responses={201: NewApiKeySerializer})
    def create(self, request: Request) -> Response:
        """Make a key. It is in this answer and never again."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields: dict[str, Any] = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        made = services.create_api_key(account=account, **fields)
        body = self.get_serializer(made.api_key).data | {"key": made.text}
        return Response(body, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=ApiKeySerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Refuse the key from now on."""
        return Response(
            self.get_serializer(services.revoke_api_key(api_key=self.get_object())).data
        )
