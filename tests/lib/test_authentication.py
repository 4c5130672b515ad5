"""What proves to an endpoint who we are, and what a token endpoint may answer."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from webhooks_project.lib.authentication import (
    Basic,
    Bearer,
    ClientCredentials,
    NoToken,
    parse_authentication,
    read_token,
)
from webhooks_project.lib.faults import Fault
from webhooks_project.lib.outbound import Failure, Response

OAUTH2 = {
    "kind": "oauth2",
    "token_url": "https://idp.test/token",
    "client_id": "me",
    "client_secret": "s3cr3t",
}


def test_basic_is_utf_8() -> None:
    made = parse_authentication({"kind": "basic", "username": "Zoë", "password": "a:b"})
    assert isinstance(made, Basic)
    scheme, _, text = made.line.removeprefix("Authorization: ").partition(" ")
    assert (scheme, base64.b64decode(text).decode()) == ("Basic", "Zoë:a:b")


def test_bearer() -> None:
    made = parse_authentication({"kind": "bearer", "token": "abc.def-~+/=="})
    assert isinstance(made, Bearer)
    assert made.line == "Authorization: Bearer abc.def-~+/=="


def test_a_token_is_asked_for_with_the_secret_in_the_header() -> None:
    document = {**OAUTH2, "client_id": "a b", "client_secret": "c:d+é", "scopes": ["x", "y"],
                "audience": "https://api.test"}  # fmt: skip
    made = parse_authentication(document)
    assert isinstance(made, ClientCredentials)
    request = made.token_request()
    assert (request.url, request.identity) == ("https://idp.test/token", None)
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["x y"],
        "audience": ["https://api.test"],
    }
    (line,) = [line for line in request.headers if line.startswith("Authorization")]
    pair = base64.b64decode(line.removeprefix("Authorization: Basic ")).decode()
    assert pair == "a+b:c%3Ad%2B%C3%A9"  # RFC 6749, 2.3.1: form-encoded each


def test_a_token_is_asked_for_with_the_secret_in_the_body() -> None:
    made = parse_authentication({**OAUTH2, "client_authentication": "client_secret_post"})
    assert isinstance(made, ClientCredentials)
    request = made.token_request()
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["me"],
        "client_secret": ["s3cr3t"],
    }
    assert not [line for line in request.headers if line.startswith("Authorization")]


def test_shows_no_secret() -> None:
    for document in (
        {"kind": "basic", "username": "a", "password": "s3cr3t"},
        {"kind": "bearer", "token": "s3cr3t"},
        OAUTH2,
    ):
        assert "s3cr3t" not in repr(parse_authentication(document))
    made = parse_authentication({**OAUTH2, "client_authentication": "client_secret_post"})
    assert isinstance(made, ClientCredentials)
    assert "s3cr3t" not in repr(made.token_request())


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        ("bearer", "not_an_object", ""),
        ({}, "unknown_kind", "/kind"),
        ({"kind": "digest"}, "unknown_kind", "/kind"),
        ({"kind": ["basic"]}, "unknown_kind", "/kind"),
        ({"kind": "basic", "username": "a"}, "password_missing", "/password"),
        ({"kind": "basic", "password": "a"}, "username_missing", "/username"),
        ({"kind": "basic", "username": "", "password": "a"}, "username_missing", "/username"),
        ({"kind": "basic", "username": 1, "password": "a"}, "username_missing", "/username"),
        ({"kind": "basic", "username": "a:b", "password": "c"}, "username_with_colon", "/username"),
        ({"kind": "basic", "username": "a\r\nb", "password": "c"}, "not_visible", "/username"),
        ({"kind": "basic", "username": "a", "password": "x" * 4097}, "too_long", "/password"),
        ({"kind": "basic", "username": "a", "password": "b", "x": 1}, "unknown_field", "/x"),
        ({"kind": "bearer"}, "token_missing", "/token"),
        ({"kind": "bearer", "token": "a b"}, "token_malformed", "/token"),
        ({"kind": "bearer", "token": "é"}, "token_malformed", "/token"),
        ({**OAUTH2, "token_url": ""}, "token_url_missing", "/token_url"),
        ({**OAUTH2, "client_id": None}, "client_id_missing", "/client_id"),
        ({**OAUTH2, "client_secret": None}, "client_secret_missing", "/client_secret"),
        ({**OAUTH2, "scopes": "a b"}, "scopes_malformed", "/scopes"),
        ({**OAUTH2, "scopes": ["a b"]}, "scopes_malformed", "/scopes"),
        ({**OAUTH2, "scopes": [1]}, "scopes_malformed", "/scopes"),
        ({**OAUTH2, "scopes": ["a"] * 51}, "scopes_malformed", "/scopes"),
        ({**OAUTH2, "audience": 5}, "audience_missing", "/audience"),
        (
            {**OAUTH2, "client_authentication": "private_key_jwt"},
            "unknown_client_authentication",
            "/client_authentication",
        ),
        (
            {**OAUTH2, "client_authentication": ["client_secret_post"]},
            "unknown_client_authentication",
            "/client_authentication",
        ),
    ],
)
def test_says_what_is_wrong_and_where(document: Any, code: str, path: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_authentication(document)
    assert (caught.value.code, caught.value.path) == (code, path)


# --- answers --------------------------------------------------------------------------------------


def answered(document: Any, status: int = 200) -> Response:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Response(status=status, body=body, body_bytes=len(body))


@pytest.mark.parametrize(
    ("expires_in", "life"),
    [
        (3600, 3570),
        ("3600", 3570),
        (60, 30),
        (40, 20),
        (0, 1),
        (10**9, 86_400),
        (None, 300),
        ("soon", 300),
        (-5, 300),
        (float("nan"), 300),
        ([], 300),
    ],
)
def test_a_token_is_used_until_shortly_before_its_end(expires_in: Any, life: float) -> None:
    answer = {"access_token": "abc", "token_type": "bearer", "expires_in": expires_in}
    if isinstance(expires_in, float):
        answer["expires_in"] = "nan"
    token = read_token(answered(answer))
    assert (token.text, token.life_seconds) == ("abc", life)
    assert "abc" not in repr(token)


def test_a_token_without_a_type_or_an_end_is_taken() -> None:
    assert read_token(answered({"access_token": "abc"})).life_seconds == 300


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (Response(failure=Failure.DNS), "the token endpoint: dns"),
        (answered({"error": "x"}, 401), "the token endpoint answered 401"),
        (answered({"access_token": "a"}, 302), "the token endpoint answered 302"),
        (answered(b"<html>"), "the token endpoint's answer is no JSON"),
        (answered(["abc"]), "the token endpoint's answer is no object"),
        (answered({}), "the token endpoint's answer has no access_token"),
        (answered({"access_token": 5}), "the token endpoint's answer has no access_token"),
        (
            answered({"access_token": "a\r\nX: b"}),
            "the token endpoint's answer has no access_token",
        ),
        (answered({"access_token": "abc\n"}), "the token endpoint's answer has no access_token"),
        (
            answered({"access_token": "abc", "token_type": "mac"}),
            "the token endpoint's token is no bearer token",
        ),
        (
            Response(status=200, body=b'{"access_token":"abc"}', body_bytes=99_999),
            "the token endpoint's answer is too large",
        ),
    ],
)
def test_says_why_there_is_no_token(response: Response, message: str) -> None:
    with pytest.raises(NoToken) as caught:
        read_token(response)
    assert str(caught.value) == message
