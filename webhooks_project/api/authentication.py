"""Who calls the API: a program by its key, or a person by the console's session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from webhooks_project.accounts.models import (
    NO_GENERATIONS,
    ApiKey,
    Generations,
    Membership,
    Role,
    User,
)
from webhooks_project.accounts.services import authenticate_api_key
from webhooks_project.lib.actor import Actor, agent_of, current_actor, session_mark
from webhooks_project.lib.client_address import client_address


class KeyUser:
    """What `request.user` is for a call by key: somebody, but no user."""

    is_authenticated = True
    is_active = True
    is_staff = False
    is_superuser = False
    pk = None

    def __init__(self, api_key: ApiKey) -> None:
        self.api_key = api_key

    def __str__(self) -> str:
        return str(self.api_key)


@dataclass(frozen=True)
class Caller:
    """Which accounts a caller may see, and as what. `everything` is platform staff."""

    roles: dict[UUID, Role]
    everything: bool = False

    def role_in(self, account_id: UUID) -> Role | None:
        return Role.ADMIN if self.everything else self.roles.get(account_id)

    @property
    def highest(self) -> Role | None:
        if self.everything:
            return Role.ADMIN
        return max(self.roles.values(), key=lambda role: role.rank, default=None)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer whk_…`."""

    def authenticate(self, request: Request) -> tuple[KeyUser, ApiKey] | None:
        # `headers` would be made of all of them.
        parts = request.META.get("HTTP_AUTHORIZATION", "").split()
        if not parts or parts[0].lower() != "bearer":
            return None
        if len(parts) != 2:
            raise AuthenticationFailed("write: Authorization: Bearer whk_…")
        api_key = authenticate_api_key(parts[1], confirms=not _is_confirmed_later(request))
        if api_key is None:
            raise AuthenticationFailed("the API key is unknown, expired or revoked")
        return KeyUser(api_key), api_key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="webhooks"'


def _is_confirmed_later(request: Request) -> bool:
    """Whether the view asks for the key's generation itself: see confirming.py."""
    return getattr(request.parser_context.get("view"), "is_confirmed_later", False)


def generations_read(request: Request) -> Generations:
    """The generations of accounts that were read with who calls; none for a person."""
    key = request.auth
    return {key.account_id: key.generation} if isinstance(key, ApiKey) else NO_GENERATIONS


def are_confirmed(request: Request) -> bool:
    """Whether the database was asked for those in this call."""
    return not isinstance(request.auth, ApiKey) or request.auth.is_confirmed


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The key as OpenAPI describes it."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "whk_…"}


def forget_caller(request: Request) -> None:
    """Read it anew."""
    request._caller = None  # type: ignore[attr-defined]


def caller_of(request: Request) -> Caller:
    """The caller's accounts and roles, read once a request; also names the actor for the audit."""
    known: Caller | None = getattr(request, "_caller", None)
    if known is not None:
        return known
    address = client_address(
        remote_address=request.META.get("REMOTE_ADDR", ""),
        forwarded_for=request.META.get("HTTP_X_FORWARDED_FOR", ""),
        trusted_proxies=settings.TRUSTED_PROXIES,
    )
    agent = agent_of(request.META)
    if isinstance(request.auth, ApiKey):
        key = request.auth
        caller = Caller({key.account_id: key.role})
        current_actor.set(Actor("key", str(key.pk), key.name, address, agent=agent))
    elif isinstance(request.user, User):
        user = request.user
        caller = Caller(
            {row.account_id: Role(row.role) for row in Membership.objects.filter(user=user)},
            everything=user.is_superuser,
        )
        session = session_mark(getattr(request, "session", None))
        current_actor.set(Actor("user", str(user.pk), user.get_username(), address, session, agent))
    else:
        caller = Caller({})
    request._caller = caller  # type: ignore[attr-defined]
    return caller
