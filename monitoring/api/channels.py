from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring.channels import KINDS, services
from monitoring.models import Channel
from webhooks_project.accounts.models import Role
from webhooks_project.api.scoping import AccountField, AccountScopedViewSet, account_for_create


class ChannelSerializer(serializers.ModelSerializer[Channel]):
    """A way to an account's people. Its secret is given and never shown: `secret_end` is its end.

    What is not critical waits for the end of the quiet hours, by the clock of `time_zone`.
    """

    account = AccountField()
    recipients = serializers.ListField(
        child=serializers.CharField(max_length=254),
        required=False,
        help_text="Of an e-mail channel: addresses, and roles, whose members are meant.",
    )
    secret = serializers.CharField(
        required=False,
        allow_blank=True,
        write_only=True,
        max_length=2048,
        help_text="What its kind asks for: a webhook's URL, an integration key.",
    )
    secret_end = serializers.SerializerMethodField()

    class Meta:
        model = Channel
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "name", "kind", "recipients", "secret", "secret_end", "region", "host",
            "hourly_limit", "quiet_from", "quiet_until", "time_zone", "enabled", "waits_until",
            "tested_at", "test_error", "created_at",
        )  # fmt: skip
        read_only_fields = ("host", "waits_until", "tested_at", "test_error", "created_at")
        # The service says what is taken; the library's own check would ask for the account.
        validators: ClassVar[list[Any]] = []

    def get_secret_end(self, channel: Channel) -> str:
        return services.secret_end(channel)

    def validate_kind(self, kind: str) -> str:
        if self.instance is not None and self.instance.kind != kind:
            raise serializers.ValidationError("a channel keeps its kind", code="unchangeable")
        return kind


class ChannelNeedsSerializer(serializers.Serializer[Any]):
    """A kind of channel, and what one needs."""

    kind = serializers.ChoiceField(Channel.Kind.choices)
    label = serializers.CharField()  # type: ignore[assignment]  # as a field is called, too
    explanation = serializers.CharField()
    asks_for = serializers.CharField(
        allow_blank=True, help_text="What `secret` is; empty where there is none."
    )
    has_recipients = serializers.BooleanField()
    has_region = serializers.BooleanField()
    moments = serializers.ListField(
        child=serializers.CharField(), help_text="What of an incident it is told."
    )


class ChannelViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    AccountScopedViewSet,
):
    """The ways to an account's people, for its alert rules."""

    queryset = Channel.objects.all()
    serializer_class = ChannelSerializer
    filterset_fields = ("account", "kind", "name", "enabled")
    ordering = "name"
    roles: ClassVar = {
        "create": Role.OPERATOR,
        "partial_update": Role.OPERATOR,
        "destroy": Role.OPERATOR,
        "test": Role.OPERATOR,
    }
    http_method_names = [  # noqa: RUF012 - as its base class declares it
        "get", "post", "patch", "delete", "head", "options",
    ]  # fmt: skip

    def perform_create(self, serializer: Any) -> None:
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        serializer.instance = services.create_channel(account=account, **fields)

    def perform_update(self, serializer: Any) -> None:
        fields = dict(serializer.validated_data)
        fields.pop("kind", None)
        account = fields.pop("account", None)
        if account is not None and account.pk != serializer.instance.account_id:
            raise serializers.ValidationError(
                {"account": serializers.ErrorDetail("a row stays in its account", "unchangeable")}
            )
        serializer.instance = services.change_channel(channel=serializer.instance, **fields)

    def perform_destroy(self, instance: Channel) -> None:
        services.delete_channel(channel=instance)

    @extend_schema(request=None, responses=ChannelSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Send a test message now. How it ended is in `tested_at` and `test_error`.

        Of an e-mail to many the first is sent now, the others are queued.
        """
        channel = services.send_test(channel=self.get_object())
        return Response(self.get_serializer(channel).data, status=status.HTTP_200_OK)

    @extend_schema(responses=ChannelNeedsSerializer(many=True), filters=False)
    @action(detail=False, methods=["get"], pagination_class=None)
    def kinds(self, request: Request) -> Response:
        """What kinds there are, and what each needs."""
        found = [
            {
                "kind": name,
                "label": Channel.Kind(name).label,
                "explanation": kind.explanation,
                "asks_for": kind.asks_for,
                "has_recipients": kind.has_recipients,
                "has_region": kind.has_region,
                "moments": sorted(kind.takes),
            }
            for name, kind in KINDS.items()
        ]
        return Response(ChannelNeedsSerializer(found, many=True).data)
