"""How we prove to an endpoint who we are: basic, bearer, or OAuth2 client credentials.

Each is a JSON object with its `kind`:

- `basic`: `username`, `password` (RFC 7617, UTF-8);
- `bearer`: `token` (RFC 6750);
- `oauth2`: `token_url`, `client_id`, `client_secret`, `scopes` (a list), `audience`, and
  `client_authentication`, which is `client_secret_basic` or `client_secret_post` (RFC 6749, 4.4).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args
from urllib.parse import quote_plus, urlencode

import orjson

from webhooks_project.lib.faults import Fault
from webhooks_project.lib.outbound import Request, Response

MAX_LENGTH: Final = 4096  # characters of one text
MAX_SCOPES: Final = 50
TOKEN_TIMEOUT_SECONDS: Final = 10
# A token is used until so long before its end: clocks differ, and a request takes its time.
EXPIRY_SKEW_SECONDS: Final = 30
# RFC 6749 lets a server leave expires_in out; then we ask again after so long.
DEFAULT_LIFE_SECONDS: Final = 300
MAX_LIFE_SECONDS: Final = 86_400
MIN_LIFE_SECONDS: Final = 1  # enough for those that waited for it

# What of each kind is secret.
SECRETS: Final = {"basic": "password", "bearer": "token", "oauth2": "client_secret"}
_FIELDS: Final = {
    "basic": {"username", "password"},
    "bearer": {"token"},
    "oauth2": {
        "token_url", "client_id", "client_secret", "scopes", "audience", "client_authentication",
    },
}  # fmt: skip
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # b64token, RFC 6750
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # scope-token, RFC 6749


ClientAuthentication = Literal["client_secret_basic", "client_secret_post"]


@dataclass(frozen=True, slots=True)
class Basic:
    username: str
    password: str = field(repr=False)

    @property
    def line(self) -> str:
        """The header line."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Authorization: Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True, slots=True)
class Bearer:
    token: str = field(repr=False)

    @property
    def line(self) -> str:
        """The header line."""
        return f"Authorization: Bearer {self.token}"


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    audience: str = ""
    client_authentication: ClientAuthentication = "client_secret_basic"

    def token_request(self) -> Request:
        """The call that asks for a token."""
        form = {"grant_type": "client_credentials"}
        if self.scopes:
            form["scope"] = " ".join(self.scopes)
        if self.audience:
            form["audience"] = self.audience
        lines = ["Content-Type: application/x-www-form-urlencoded", "Accept: application/json",
                 "Expect:"]  # fmt: skip
        if self.client_authentication == "client_secret_basic":
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            lines.append(f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
        else:
            form |= {"client_id": self.client_id, "client_secret": self.client_secret}
        return Request(
            url=self.token_url,
            headers=lines,
            body=urlencode(form).encode(),
            timeout_seconds=TOKEN_TIMEOUT_SECONDS,
        )


Authentication = Basic | Bearer | ClientCredentials


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and for how many seconds it is used."""

    text: str = field(repr=False)
    life_seconds: float


class NoToken(Exception):
    """The token endpoint gave no token. The message is safe to keep: nothing of its answer."""


def read_token(response: Response) -> Token:
    """The token in a token endpoint's answer. Raises NoToken."""
    if response.failure is not None:
        raise NoToken(f"the token endpoint: {response.failure.value}")
    if response.status != 200:
        raise NoToken(f"the token endpoint answered {response.status}")
    if response.body_bytes > len(response.body):
        raise NoToken("the token endpoint's answer is too large")
    try:
        answer: Any = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        raise NoToken("the token endpoint's answer is no JSON") from None
    if not isinstance(answer, dict):
        raise NoToken("the token endpoint's answer is no object")
    token = answer.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise NoToken("the token endpoint's answer has no access_token")
    if str(answer.get("token_type", "Bearer")).lower() != "bearer":
        raise NoToken("the token endpoint's token is no bearer token")
    return Token(token, _life(answer.get("expires_in")))


def _life(expires_in: Any) -> float:
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError):
        return DEFAULT_LIFE_SECONDS
    if not seconds >= 0:  # also NaN
        return DEFAULT_LIFE_SECONDS
    # A life shorter than twice the skew is used for its first half.
    life = max(seconds - EXPIRY_SKEW_SECONDS, seconds / 2, MIN_LIFE_SECONDS)
    return min(life, MAX_LIFE_SECONDS)


def parse_authentication(document: Any) -> Authentication:
    """The authentication that a JSON document describes. Raises Fault.

    The token address is judged as a text only by its length; whether it may be called, its caller
    knows.
    """
    if not isinstance(document, Mapping):
        raise Fault("not_an_object", "An authentication is an object with its kind.")
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise Fault("unknown_kind", f"The kind is one of {', '.join(_FIELDS)}.", path="/kind")
    for name in document:
        if name != "kind" and name not in _FIELDS[kind]:
            raise Fault("unknown_field", f"{kind} has no field {name}.", path=f"/{name}")
    if kind == "basic":
        username = _text(document, "username")
        if ":" in username:
            raise Fault("username_with_colon", "A user name has no colon.", path="/username")
        return Basic(username, _text(document, "password"))
    if kind == "bearer":
        token = _text(document, "token")
        if not _TOKEN.fullmatch(token):
            raise Fault(
                "token_malformed", "A token is letters, digits and ._~+/- with = at its end.",
                path="/token",
            )  # fmt: skip
        return Bearer(token)
    return _client_credentials(document)


def _client_credentials(document: Mapping[str, Any]) -> ClientCredentials:
    scopes = document.get("scopes") or []
    if (
        not isinstance(scopes, list)
        or len(scopes) > MAX_SCOPES
        or not all(
            isinstance(scope, str) and len(scope) <= 256 and _SCOPE.fullmatch(scope)
            for scope in scopes
        )
    ):
        raise Fault(
            "scopes_malformed", "Scopes are a list of texts without spaces and quotes.",
            path="/scopes",
        )  # fmt: skip
    how: ClientAuthentication = document.get("client_authentication") or "client_secret_basic"
    if how not in get_args(ClientAuthentication):
        raise Fault(
            "unknown_client_authentication",
            "The client authentication is client_secret_basic or client_secret_post.",
            path="/client_authentication",
        )
    return ClientCredentials(
        token_url=_text(document, "token_url"),
        client_id=_text(document, "client_id"),
        client_secret=_text(document, "client_secret"),
        scopes=tuple(scopes),
        audience=_text(document, "audience") if document.get("audience") else "",
        client_authentication=how,
    )


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise Fault(f"{name}_missing", f"{name} is missing.", path=f"/{name}")
    if len(value) > MAX_LENGTH:
        raise Fault("too_long", f"{name} has at most {MAX_LENGTH} characters.", path=f"/{name}")
    if not value.isprintable():
        raise Fault("not_visible", f"{name} holds what cannot be seen.", path=f"/{name}")
    return value
