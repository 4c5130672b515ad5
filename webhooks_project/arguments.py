"""What several commands take as arguments."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Final

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from webhooks_project.accounts.models import Account

NOT_ACCEPTABLE: Final = 2  # the exit code, as of what argparse refuses


def moment(text: str) -> datetime:
    """An ISO 8601 moment, in UTC where it names no zone; a type for `add_argument`."""
    try:
        found = parse_datetime(text)
        if found is not None:
            aware = found if timezone.is_aware(found) else timezone.make_aware(found)
            return aware.astimezone(UTC)
    except (ValueError, OverflowError):  # its offset may make it one of the year 0 or 10,000
        pass
    raise ArgumentTypeError(f"{text!r} is no ISO 8601 moment such as 2026-01-31T12:00")


def account_named(slug: str | None) -> Account | None:
    """The account with that slug; None for None. Raises CommandError where there is none."""
    if slug is None:
        return None
    account = Account.objects.filter(slug=slug).first()
    if account is None:
        raise CommandError(f"there is no account {slug}", returncode=NOT_ACCEPTABLE)
    return account
