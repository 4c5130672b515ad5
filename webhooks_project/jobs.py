"""What jobs over many past rows share, whatever they replay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Model, Q
from django.db.models.functions import Left
from django.db.models.lookups import Exact

from webhooks_project.lib.errors import DomainError


def type_condition(column: str, pattern: str) -> Q:
    """Rows whose column is the pattern, or begins with it where a `*` stands at its end.

    Empty for any. Capitals and small letters are never the same.
    """
    beginning = pattern.removesuffix("*")
    if beginning == pattern:
        return Q(**{column: pattern}) if pattern else Q()
    # Not `startswith`: SQLite's LIKE takes capitals and small letters for the same.
    return Q(Exact(Left(column, len(beginning)), beginning)) if beginning else Q()


def behind(column: str, moment: datetime | None, key: UUID | None) -> Q:
    """Rows that come, by the column and the key, after this one; all where there is none."""
    if moment is None:
        return Q()
    return Q(**{f"{column}__gte": moment}) & ~Q(**{column: moment, "pk__lte": key})


def turn(job: Model, before: Sequence[str], refusal: type[DomainError], /, **changes: Any) -> None:
    """Change a job that has one of these statuses; raise the refusal for one that has another.

    While a batch has the job's row locked, this waits for the batch's end.
    """
    jobs = type(job)._default_manager
    if not jobs.filter(pk=job.pk, status__in=before).update(**changes):
        job.refresh_from_db()
        raise refusal(f"the replay is {job.status}")  # type: ignore[attr-defined]
    job.refresh_from_db()
