"""What is done with accounts and keys. Each function is one transaction."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from monitoring import journal
from webhooks_project.accounts.errors import LastAdmin, MemberNotFound
from webhooks_project.accounts.known_keys import forget_key, key_of, known_key_of
from webhooks_project.accounts.models import Account, ApiKey, Membership, Role, User
from webhooks_project.lib import clock

KEY_PREFIX: Final = "whk"
SECRET_BYTES: Final = 32
LAST_USED_STEP: Final = timedelta(minutes=1)  # how exact `last_used_at` is: a write for each step

_KEY = re.compile(rf"{KEY_PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{1,64}})", re.ASCII)


@dataclass(frozen=True)
class NewApiKey:
    """A key just made. `text` is shown once and kept nowhere."""

    api_key: ApiKey
    text: str = field(repr=False)


@transaction.atomic
def create_api_key(
    *,
    account: Account,
    name: str,
    scopes: Sequence[str] = (Role.DEVELOPER,),
    expires_at: datetime | None = None,
) -> NewApiKey:
    """Make a key with 32 random bytes. Its whole text is in the result and never again."""
    prefix = secrets.token_hex(6)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")
    api_key = ApiKey.objects.create(
        account=account,
        name=name,
        prefix=prefix,
        secret_sha256=hashlib.sha256(secret.encode()).digest(),
        scopes=[Role(scope).value for scope in scopes],
        expires_at=expires_at,
    )
    journal.record_change(
        account_id=account.pk,
        action="api_key.created",
        subject=api_key,
        after={"name": name, "scopes": api_key.scopes, "expires_at": expires_at},
    )
    return NewApiKey(api_key, f"{KEY_PREFIX}_{prefix}_{secret}")


@transaction.atomic
def revoke_api_key(*, api_key: ApiKey) -> ApiKey:
    """Refuse the key from now on; its row and history stay."""
    if api_key.revoked_at is None:
        api_key.revoked_at = clock.now()
        api_key.save(update_fields=["revoked_at"])
        journal.record_change(
            account_id=api_key.account_id, action="api_key.revoked", subject=api_key
        )
    return api_key


def authenticate_api_key(text: str, *, confirms: bool = True) -> ApiKey | None:
    """The key that this text is, if it is one and still valid. Notes when it was used.

    Its `generation` is its account's, as it was read with it. Where the caller `confirms` nothing
    yet, the key may be one that was read before and was valid then, which `is_confirmed` tells:
    what is done by it has to ask for the generation.
    """
    form = _KEY.fullmatch(text)
    if form is None:
        return None
    prefix, secret = form.groups()
    given = hashlib.sha256(secret.encode()).digest()
    now = clock.now()
    if not confirms:
        known = known_key_of(prefix)
        if known is not None and _is_valid(known, given, now) and not _is_to_be_noted(known, now):
            return known
    api_key = key_of(prefix)
    if api_key is None or not _is_valid(api_key, given, now):
        return None
    if _is_to_be_noted(api_key, now):
        ApiKey.objects.filter(
            Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_STEP), pk=api_key.pk
        ).update(last_used_at=now)
        forget_key(prefix)
    return api_key


def _is_valid(api_key: ApiKey, given: bytes, now: datetime) -> bool:
    """Whether the secret whose hash is given is this key's, which neither ended nor was revoked."""
    has_ended = api_key.expires_at is not None and api_key.expires_at <= now
    is_it = hmac.compare_digest(given, bytes(api_key.secret_sha256))
    return is_it and not has_ended and api_key.revoked_at is None


def _is_to_be_noted(api_key: ApiKey, now: datetime) -> bool:
    return api_key.last_used_at is None or now - api_key.last_used_at >= LAST_USED_STEP


@transaction.atomic
def create_account(*, name: str, slug: str, admin: User | None = None, **settings: Any) -> Account:
    """Make an account, with its first administrator where one is given.

    `settings` are its other fields, by name.
    """
    account = Account.objects.create(name=name, slug=slug, **settings)
    if admin is not None:
        Membership.objects.create(account=account, user=admin, role=Role.ADMIN)
    journal.record_change(
        account_id=account.pk,
        action="account.created",
        subject=account,
        after={"name": name, **settings},
    )
    return account


@transaction.atomic
def change_account(*, account: Account, **changes: Any) -> Account:
    """Change the named fields: name, slug, and its settings."""
    before = {name: getattr(account, name) for name in changes}
    for name, value in changes.items():
        setattr(account, name, value)
    account.save(update_fields=list(changes))
    journal.record_change(
        account_id=account.pk,
        action="account.changed",
        subject=account,
        before=before,
        after=changes,
    )
    return account


@transaction.atomic
def set_membership(*, account: Account, user: User, role: Role) -> Membership:
    """Give a user a role in the account, in place of the one that they had.

    Raises LastAdmin where nobody else would be an administrator.
    """
    held = _hold(account.pk, user.pk)
    known = next((row for row in held if row.user_id == user.pk), None)
    membership = known or Membership(account=account, user=user)
    before = {"user": user.get_username(), "role": known.role} if known else {}
    if known and role != Role.ADMIN:
        _keep_an_admin(known, held)
    membership.role = role
    membership.save()
    journal.record_change(
        account_id=account.pk,
        action="membership.set",
        subject=membership,
        before=before,
        after={"user": user.get_username(), "role": role.value},
    )
    return membership


@transaction.atomic
def end_membership(*, membership: Membership) -> None:
    """Take a user out of the account.

    Raises LastAdmin where nobody else is an administrator, and Membership.DoesNotExist.
    """
    held = _hold(membership.account_id, membership.user_id)
    if membership not in held:
        raise Membership.DoesNotExist
    _keep_an_admin(membership, held)
    journal.record_change(
        account_id=membership.account_id,
        action="membership.ended",
        subject=membership,
        before={"user": membership.user.get_username(), "role": membership.role},
    )
    membership.delete()


def _hold(account_id: UUID, user_id: int) -> list[Membership]:
    """The user's membership of the account, where there is one, and all its administrators'.

    They are locked together, in one order by all: two who leave at once are not both the other's
    excuse, and neither waits for the other for ever.
    """
    rows = Membership.objects.filter(Q(role=Role.ADMIN) | Q(user=user_id), account=account_id)
    return list(rows.select_for_update().order_by("pk"))


def _keep_an_admin(membership: Membership, held: Sequence[Membership]) -> None:
    """Refuse to take the role from the last active administrator."""
    admins = [row.user_id for row in held if row.role == Role.ADMIN]
    active = set(User.objects.filter(pk__in=admins, is_active=True).values_list("pk", flat=True))
    if active == {membership.user_id}:
        raise LastAdmin


FACTS_OF_USER: Final = ("username", "email", "is_active", "is_staff", "is_superuser")


def facts_of(user: User) -> dict[str, Any]:
    """What the audit says of a user: never the password, not even its hash."""
    return {
        **{name: getattr(user, name) for name in FACTS_OF_USER},
        "groups": sorted(user.groups.values_list("name", flat=True)),
        "permissions": sorted(user.user_permissions.values_list("codename", flat=True)),
    }


@transaction.atomic
def note_user_change(
    *, user: User, verb: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """Say in the chain of every account that a user is a member of what was changed of the user.

    Users belong to no account: of one who is in none, only Django's own log tells.
    """
    for account_id in user.memberships.order_by("account").values_list("account", flat=True):
        journal.record_change(
            account_id=account_id,
            action=f"user.{verb}",
            subject=user,
            before=before,
            after=after,
        )


def user_named(username: str) -> User:
    """The active user of that name. Raises MemberNotFound."""
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise MemberNotFound("there is no such user")
    return user


def member_named(*, account: Account, username: str) -> Membership:
    """The membership of the user of that name. Raises MemberNotFound."""
    found = Membership.objects.select_related("user").filter(
        account=account, user__username=username
    )
    membership = found.first()
    if membership is None:
        raise MemberNotFound
    return membership
