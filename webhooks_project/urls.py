"""The hub's addresses, apart from the ingest URLs: those are answered by incoming/receiving/."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

handler500 = "webhooks_project.api.errors.server_error"

urlpatterns = [
    path("api/", include("webhooks_project.api.urls")),
    path("admin/", admin.site.urls),
    path("catalogue/", include("outgoing.urls")),
    path("", include("monitoring.urls")),
    path("", include("subscriptions.urls")),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
