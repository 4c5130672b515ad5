"""Everything under /api/."""

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from webhooks_project.api.errors import unknown_path

urlpatterns = [
    # Publishing first: each pattern before it is tried in vain with each event.
    path("v1/webhooks/outgoing/", include("outgoing.api.urls")),
    path("v1/webhooks/", include("webhooks_project.accounts.api.urls")),
    path("v1/webhooks/incoming/", include("incoming.api.urls")),
    path("v1/webhooks/", include("subscriptions.api.urls")),
    path("v1/webhooks/", include("outgoing.api.subscription_urls")),
    path("v1/webhooks/validation/", include("incoming.api.validation.urls")),
    path("v1/webhooks/", include("outgoing.api.retry_urls")),
    path("v1/webhooks/", include("outgoing.api.usage_urls")),
    path("v1/webhooks/monitoring/", include("monitoring.api.urls")),
    path("v1/webhooks/", include("analytics.api.usage_urls")),
    path("v1/webhooks/analytics/", include("analytics.api.urls")),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    re_path("", unknown_path),
]
