from __future__ import annotations

import pytest

from webhooks_project.lib.redaction import MASK, last_four, redact_headers


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-gitlab-token",
        "x-hub-signature-256",
        "stripe-signature",
        "webhook-signature",
        "x-api-key",
        "apikey",
        "api_key",
        "x-shopify-hmac-sha256",
        "x-hook-secret",
        "x-password",
    ],
)
def test_masks_what_may_be_a_secret_or_a_proof(name: str) -> None:
    assert redact_headers({name: "value"}) == {name: MASK}


@pytest.mark.parametrize(
    "name", ["content-type", "user-agent", "webhook-id", "webhook-timestamp", "x-github-event"]
)
def test_leaves_the_rest_as_it_came(name: str) -> None:
    assert redact_headers({name: "value"}) == {name: "value"}


def test_does_not_change_what_it_is_given() -> None:
    headers = {"cookie": "a=b"}
    redact_headers(headers)
    assert headers == {"cookie": "a=b"}


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("", "…"),
        ("short", "…"),
        ("elevenchars", "…"),
        ("twelve-chars", "…hars"),
        ("whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "…Zg=="),
    ],
)
def test_shows_the_end_of_a_secret_that_is_long_enough(secret: str, shown: str) -> None:
    assert last_four(secret) == shown
