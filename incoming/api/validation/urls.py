from django.urls import re_path

from incoming.api.validation.views import (
    FilterValidationView,
    PayloadValidationView,
    RoutesValidationView,
    SignatureValidationView,
    TransformationValidationView,
    UrlValidationView,
)

urlpatterns = [
    re_path("^filter/?$", FilterValidationView.as_view(), name="validate-filter"),
    re_path("^payload/?$", PayloadValidationView.as_view(), name="validate-payload"),
    re_path("^routes/?$", RoutesValidationView.as_view(), name="validate-routes"),
    re_path("^signature/?$", SignatureValidationView.as_view(), name="validate-signature"),
    re_path(
        "^transformation/?$",
        TransformationValidationView.as_view(),
        name="validate-transformation",
    ),
    re_path("^url/?$", UrlValidationView.as_view(), name="validate-url"),
]
