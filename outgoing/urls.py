from django.urls import path

from outgoing.catalogue import (
    catalogue_page,
    openapi_document,
    schema_document,
    type_page,
    verify_page,
)

urlpatterns = [
    path("<slug:slug>/", catalogue_page, name="catalogue"),
    path("<slug:slug>/openapi.json", openapi_document, name="catalogue-openapi"),
    path("<slug:slug>/verify/", verify_page, name="catalogue-verify"),
    path("<slug:slug>/types/<str:name>/", type_page, name="catalogue-type"),
    path("<slug:slug>/types/<str:name>/schema.json", schema_document, name="catalogue-schema"),
]
