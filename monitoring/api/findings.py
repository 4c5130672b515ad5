from __future__ import annotations

from rest_framework import mixins, serializers

from monitoring.models import Finding
from webhooks_project.api.filters import FilterSet, MomentFilter, PresenceFilter
from webhooks_project.api.scoping import AccountScopedViewSet


class FindingSerializer(serializers.ModelSerializer[Finding]):
    """Something that keeps a subscription or a source from its work; without either it is about
    the account. `resolved_at` is null while it lasts."""

    class Meta:
        model = Finding
        fields = (
            "id", "account", "subscription", "source", "kind", "text", "first_seen_at",
            "last_seen_at", "resolved_at",
        )  # fmt: skip


class FindingFilter(FilterSet):
    is_resolved = PresenceFilter(field_name="resolved_at")
    since = MomentFilter(field_name="first_seen_at", lookup_expr="gte")
    until = MomentFilter(field_name="first_seen_at", lookup_expr="lt")

    class Meta:
        model = Finding
        fields = ("account", "subscription", "source", "kind")


class FindingViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """What is wrong with how subscriptions and sources are set up."""

    queryset = Finding.objects.all()
    serializer_class = FindingSerializer
    filterset_class = FindingFilter
    ordering = ("-first_seen_at", "id")
