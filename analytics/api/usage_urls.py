from django.urls import re_path

from analytics.api.usage import UsageViewSet

urlpatterns = [
    re_path(
        "^subscriptions/(?P<pk>[0-9a-f-]{36})/usage/?$",
        UsageViewSet.as_view({"get": "retrieve"}),
        name="subscription-usage",
    )
]
