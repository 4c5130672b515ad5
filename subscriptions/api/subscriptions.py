from __future__ import annotations

from typing import Any, ClassVar

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from subscriptions import services, setup
from subscriptions.acceptable import (
    MAX_BATCH,
    MAX_BATCH_SECONDS,
    MAX_CHECK_MINUTES,
    MAX_IN_FLIGHT,
    MAX_RATE,
    MAX_RETRY_AGE_SECONDS,
)
from subscriptions.api.security import (
    RotatedSecretSerializer,
    RotationSerializer,
    SecuritySerializer,
)
from subscriptions.matching import MAX_TYPE_LENGTH, Facts, is_event_type, who_would_get
from subscriptions.models import SigningSecret, Subscription
from subscriptions.renewal import renew_subscription
from webhooks_project.accounts.models import Role
from webhooks_project.api.authentication import caller_of
from webhooks_project.api.clauses import ClauseSerializer
from webhooks_project.api.filters import FilterSet
from webhooks_project.api.scoping import AccountField, AccountScopedViewSet, account_for_create
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.redaction import last_four


class SigningSecretSerializer(serializers.ModelSerializer[SigningSecret]):
    """A signing secret as it is shown after its creation: by its end only."""

    last_four = serializers.SerializerMethodField()

    class Meta:
        model = SigningSecret
        fields: ClassVar[tuple[str, ...]] = (
            "id", "kind", "last_four", "public_key", "created_at", "expires_at",
        )  # fmt: skip

    def get_last_four(self, secret: SigningSecret) -> str:
        try:
            return last_four(secret.secret)
        except CannotDecrypt:
            return last_four("")


class SetupStepSerializer(serializers.Serializer[Any]):
    """What one step of the last set-up found."""

    step = serializers.ChoiceField(choices=[item.value for item in setup.Name])
    outcome = serializers.ChoiceField(choices=[item.value for item in setup.Outcome])
    detail = serializers.CharField()
    at = serializers.DateTimeField()


class SubscriptionSerializer(SecuritySerializer):
    """Where an account wants which events."""

    account = AccountField()
    event_types = serializers.ListField(
        child=serializers.CharField(max_length=128), allow_empty=False, max_length=200
    )
    secrets = SigningSecretSerializer(many=True, read_only=True)
    setup = SetupStepSerializer(many=True, read_only=True)

    class Meta:
        model = Subscription
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "name", "url", "description", "metadata", "labels", "event_types",
            "channels", "filter", "payload_form", "transformation", "variables", "schema_versions",
            "timeout_seconds", "max_in_flight", "rate_limit", "rate_period", "ordering",
            "order_key", "batch_size", "batch_seconds", "retry_policy", "retry_schedule",
            "retry_max_age_seconds", "retry_statuses", "delivery_window", "status",
            "status_reason", "paused_at", "disabled_at", "expires_at", "failing_since", "breaker",
            "breaker_changed_at", "certificate_expires_at", "checks_health", "health_check_kind",
            "health_check_minutes", "health_checked_at", "health_problem", "health_check_failures",
            "health_check_result", "setup", "created_at", "secrets",
            *SecuritySerializer.SECURITY_FIELDS,
        )  # fmt: skip
        read_only_fields: ClassVar[tuple[str, ...]] = (
            "status", "status_reason", "expires_at", "breaker", "breaker_changed_at",
            "health_checked_at", "health_problem", "health_check_failures", "health_check_result",
        )  # fmt: skip
        extra_kwargs: ClassVar = {
            "timeout_seconds": {"min_value": 1, "max_value": 60},
            "max_in_flight": {"min_value": 1, "max_value": MAX_IN_FLIGHT},
            "rate_limit": {"min_value": 1, "max_value": MAX_RATE},
            "batch_size": {"min_value": 1, "max_value": MAX_BATCH},
            "batch_seconds": {"min_value": 0, "max_value": MAX_BATCH_SECONDS},
            "retry_max_age_seconds": {"min_value": 1, "max_value": MAX_RETRY_AGE_SECONDS},
            "health_check_minutes": {"min_value": 1, "max_value": MAX_CHECK_MINUTES},
        }


class CreateSubscriptionSerializer(SubscriptionSerializer):
    """A subscription to make. It is verified in the background and active once that succeeded."""

    activate = serializers.BooleanField(
        default=True, help_text="False for a draft that is not verified yet."
    )
    skip_verification = serializers.BooleanField(
        default=False,
        help_text="Make it active at once, without a test delivery: for operators.",
    )

    class Meta(SubscriptionSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (
            *SubscriptionSerializer.Meta.fields,
            "activate",
            "skip_verification",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = (
            "status", "status_reason", "breaker", "breaker_changed_at", "health_checked_at",
            "health_problem", "health_check_failures", "health_check_result",
        )  # fmt: skip


class ChangeSubscriptionSerializer(SubscriptionSerializer):
    """Fields of a subscription to change."""

    keep_credentials = serializers.BooleanField(
        default=False,
        write_only=True,
        help_text="True: where the URL is of another host, it may be sent the custom headers and "
        "the authentication that there are. Else such a change is refused while there are any.",
    )

    class Meta(SubscriptionSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (
            *SubscriptionSerializer.Meta.fields,
            "keep_credentials",
        )


class ActivateSerializer(serializers.Serializer[Any]):
    skip_verification = serializers.BooleanField(
        help_text="True: its set-up has not succeeded, and it shall be active all the same."
    )


class RenewSerializer(serializers.Serializer[Any]):
    """The new end: a moment, or so many days after the present end; null for none."""

    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    days = serializers.IntegerField(required=False, min_value=1, max_value=3650)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("name either expires_at or days")
        return attrs


class NewSubscriptionSerializer(SubscriptionSerializer):
    """A subscription just made, with its signing secret: the only time that it is shown."""

    secret = serializers.CharField(read_only=True)

    class Meta(SubscriptionSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*SubscriptionSerializer.Meta.fields, "secret")


class MatchRequestSerializer(serializers.Serializer[Any]):
    """An event that nobody publishes."""

    account = AccountField()
    type = serializers.CharField(max_length=MAX_TYPE_LENGTH)
    data = serializers.JSONField(allow_null=True)  # type: ignore[assignment]
    channels = serializers.ListField(child=serializers.CharField(max_length=128), required=False)
    metadata = serializers.DictField(child=serializers.CharField(), required=False)
    headers = serializers.DictField(child=serializers.CharField(), required=False)
    schema_version = serializers.RegexField(r"^[1-9]\d{0,4}\.\d{1,5}$", required=False)

    def validate_type(self, text: str) -> str:
        if not is_event_type(text):
            raise serializers.ValidationError("is no event type; such are dotted names")
        return text


class MatchSerializer(serializers.Serializer[Any]):
    """What one subscription that hears the type would get: a delivery, or none and why.

    `reason` is empty, channels, schema_version, filter or subscription_ and the status.
    """

    subscription = serializers.UUIDField()
    name = serializers.CharField()
    matched = serializers.BooleanField()
    held = serializers.BooleanField()
    reason = serializers.CharField()
    clauses = ClauseSerializer(many=True)
    order_key = serializers.CharField(allow_null=True)


class SubscriptionFilter(FilterSet):
    event_type = filters.CharFilter(
        field_name="patterns__pattern", help_text="A name or wildcard exactly as it is subscribed."
    )

    class Meta:
        model = Subscription
        fields = ("account", "status", "breaker", "event_type")


class SubscriptionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Where accounts want which events."""

    queryset = Subscription.objects.prefetch_related("patterns", "secrets")
    serializer_class = SubscriptionSerializer
    filterset_class = SubscriptionFilter
    lookup_value_regex = "[0-9a-f-]{36}"
    roles: ClassVar = {
        "activate": Role.OPERATOR,
        "pause": Role.OPERATOR,
        "resume": Role.OPERATOR,  # its view stands with the deliveries: outgoing/api
        "disable": Role.OPERATOR,
    }

    @extend_schema(request=CreateSubscriptionSerializer, responses={201: NewSubscriptionSerializer})
    def create(self, request: Request) -> Response:
        """Make a subscription. Its signing secret is in this answer and never again.

        It is verifying at first: a test delivery goes out in the background, and what is published
        meanwhile is held. Once that succeeded it is active, else a draft whose `setup` says why.
        """
        serializer = CreateSubscriptionSerializer(
            data=request.data, context=self.get_serializer_context()
        )
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        role = caller_of(request).role_in(account.pk)
        if fields["skip_verification"] and (role is None or role.rank < Role.OPERATOR.rank):
            raise PermissionDenied("verification is skipped by operators")
        made = setup.create_with_setup(account=account, **fields)
        body = self.get_serializer(made.subscription).data | {"secret": made.secret}
        return Response(body, status=status.HTTP_201_CREATED)

    @extend_schema(
        request=ChangeSubscriptionSerializer(partial=True), responses=SubscriptionSerializer
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields."""
        subscription = self.get_object()
        serializer = ChangeSubscriptionSerializer(
            subscription,
            data=request.data,
            partial=True,
            context=self.get_serializer_context(),
        )
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        if fields.pop("account", subscription.account) != subscription.account:
            raise serializers.ValidationError({"account": ["a subscription stays in its account"]})
        services.change_subscription(subscription=subscription, **fields)
        return self._current()

    def destroy(self, request: Request, pk: str) -> Response:
        """Archive: it hears nothing more; what still waits for it is cancelled."""
        services.set_status(subscription=self.get_object(), status=Subscription.Status.ARCHIVED)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Hold its deliveries; nothing is lost."""
        return self._set_status(Subscription.Status.PAUSED)

    @extend_schema(request=None, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        """Hold its deliveries until somebody resumes it."""
        return self._set_status(Subscription.Status.DISABLED)

    @extend_schema(request=None, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def verify(self, request: Request, pk: str) -> Response:
        """Run its set-up again, in the background; what is found is in `setup` soon."""
        setup.request_setup(subscription=self.get_object())
        return self._current()

    @extend_schema(request=ActivateSerializer, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, pk: str) -> Response:
        """Make a draft active whose set-up has not succeeded, said explicitly."""
        serializer = ActivateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        setup.activate_subscription(subscription=self.get_object(), **serializer.validated_data)
        return self._current()

    @extend_schema(request=RenewSerializer, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def renew(self, request: Request, pk: str) -> Response:
        """Give it a new end, or none. An expired one is active again."""
        serializer = RenewSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        renew_subscription(subscription=self.get_object(), **serializer.validated_data)
        return self._current()

    @extend_schema(request=RotationSerializer, responses=RotatedSecretSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """Sign with a new secret, shown here once; the old ones sign too for the grace."""
        subscription = self.get_object()
        rotation = RotationSerializer(data=request.data)
        rotation.is_valid(raise_exception=True)
        made = services.rotate_secret(subscription=subscription, **rotation.arguments())
        return Response(RotatedSecretSerializer(made).data)

    @extend_schema(request=MatchRequestSerializer, responses=MatchSerializer(many=True))
    @action(detail=False, methods=["post"])
    def match(self, request: Request) -> Response:
        """Who would get this event: every subscription that hears its type, and why or why not."""
        serializer = MatchRequestSerializer(
            data=request.data, context=self.get_serializer_context()
        )
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        data = fields.pop("data")
        matches = who_would_get(account_id=account.pk, facts=Facts(parse=lambda: data, **fields))
        names = dict(
            Subscription.objects.filter(account=account).values_list("pk", "name")
            if matches
            else ()
        )
        return Response(
            [
                {
                    "subscription": match.subscription_id,
                    "name": names.get(match.subscription_id, ""),
                    "matched": not match.reason,
                    "held": match.held,
                    "reason": match.reason,
                    "clauses": [clause.as_json() for clause in match.clauses],
                    "order_key": match.order_key,
                }
                for match in matches
            ]
        )

    def _set_status(self, new: Subscription.Status) -> Response:
        services.set_status(subscription=self.get_object(), status=new)
        return self._current()

    def _current(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)
