from django.urls import re_path

from outgoing.api.usage import EventTypeUsageViewSet

urlpatterns = [
    re_path(
        r"^subscriptions/event-types/(?P<pk>[^/.]+)/usage/?$",
        EventTypeUsageViewSet.as_view({"get": "usage"}),
        name="event-type-usage",
    ),
]
