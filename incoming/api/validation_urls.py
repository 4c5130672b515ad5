from django.urls import re_path

from incoming.api.validation import (
    PayloadValidationView,
    SignatureValidationView,
    UrlValidationView,
)

urlpatterns = [
    re_path("^payload/?$", PayloadValidationView.as_view(), name="validate-payload"),
    re_path("^signature/?$", SignatureValidationView.as_view(), name="validate-signature"),
    re_path("^url/?$", UrlValidationView.as_view(), name="validate-url"),
]
