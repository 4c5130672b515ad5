"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from tests.api.routes import api_patterns, methods_of

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def document() -> Any:
    from drf_spectacular.generators import SchemaGenerator

    return SchemaGenerator().get_schema(request=None, public=True)


def test_is_made_without_a_warning_and_is_valid() -> None:
    out, err = io.StringIO(), io.StringIO()
    with warnings.catch_warnings():
        # The validator's own library: a warning of the document itself is an error here.
        warnings.simplefilter("ignore", DeprecationWarning)
        call_command("spectacular", validate=True, fail_on_warn=True, stdout=out, stderr=err)
    assert "openapi: 3.1.0" in out.getvalue()
    assert err.getvalue() == ""


def test_is_served_without_a_key() -> None:
    response = Client().get("/api/schema/?format=json")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/vnd.oai.openapi+json"
    assert response.json()["openapi"] == "3.1.0"


def test_describes_every_route_and_every_method(document: Any) -> None:
    described = {
        path: {
            method for method in operations if method in ("get", "post", "put", "patch", "delete")
        }
        for path, operations in document["paths"].items()
    }
    found = {}
    for pattern, route in api_patterns():
        path = re.sub(r"\(\?P<pk>[^)]*\)", "{id}", pattern)
        path = re.sub(r"\(\?P<source_id>[^)]*\)", "{source_id}", path)
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", path)
        path = path.replace("^", "").replace("/?$", "/")
        if route.name.startswith("retry-"):
            path = path.replace("{id}", "{delivery}")
        found[path] = methods_of(route)
    assert described == found


def test_every_operation_says_how_to_prove_oneself_and_how_it_fails(document: Any) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["apiKey"] == {"type": "http", "scheme": "bearer", "bearerFormat": "whk_…"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert {"apiKey": []} in operation["security"], (path, method)
            problem = operation["responses"]["default"]["content"]["application/problem+json"]
            assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(document: Any) -> None:
    operations = [item for path in document["paths"].values() for item in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation.get("description") for operation in operations)


def test_publishing_is_described_with_its_key_and_both_of_its_answers(document: Any) -> None:
    operation = document["paths"]["/api/v1/webhooks/outgoing/events/"]["post"]
    assert {"200", "201"} <= operation["responses"].keys()
    (header,) = (item for item in operation["parameters"] if item["in"] == "header")
    assert header["name"] == "Idempotency-Key"


def test_a_secret_is_described_where_it_is_shown_and_nowhere_else(document: Any) -> None:
    schemas = document["components"]["schemas"]
    with_secret = {
        name for name, schema in schemas.items() if "secret" in schema.get("properties", {})
    }
    assert with_secret == {
        "NewSubscription",
        "NewSource",
        "NewSecret",
        "LearnedSecret",
        "RotatedSecret",
        "CreateSourceRequest",
        "RotateSecretRequest",
    }


def test_the_page_that_shows_it_refers_to_no_outside_host() -> None:
    response = Client().get("/api/docs/")
    assert response.status_code == 200
    html = response.content.decode()
    references = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", html)
    references += re.findall(r"""url\(["']?([^"')]*)""", html)
    assert references
    assert [item for item in references if re.match(r"(?:[a-z]+:)?//", item, re.I)] == []
    assert re.findall(r"https?://(?!testserver)[^\s\"']+", html) == []
    assert '"validatorUrl": null' in html
