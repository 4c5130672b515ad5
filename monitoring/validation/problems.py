"""What checks find, and what they share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from django.db import models

from monitoring.models import Finding
from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib.filters import FilterNotAcceptable, compile_filter
from webhooks_project.lib.jsonata import ExpressionNotAcceptable, check_expression
from webhooks_project.lib.keyring import CannotDecrypt

Kind = Finding.Kind
KNOWN_EXPRESSIONS: Final = 20_000  # judged once in the life of a process


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong. Without either row it is about the account."""

    account_id: UUID
    kind: Finding.Kind
    text: str
    subscription_id: UUID | None = None
    source_id: UUID | None = None

    @property
    def key(self) -> tuple[UUID | None, UUID | None, UUID, str]:
        return (self.subscription_id, self.source_id, self.account_id, str(self.kind))


def unreadable_fields(row: models.Model) -> Iterator[str]:
    """The sealed fields of a row that no key of the hub opens."""
    for field in row._meta.concrete_fields:
        if not isinstance(field, EncryptedTextField):
            continue
        try:
            getattr(row, field.attname)
        except CannotDecrypt:
            yield str(field.verbose_name)


def filter_problem(document: Any) -> str:
    """Why a filter cannot be used; empty where it can."""
    try:
        compile_filter(document)
    except FilterNotAcceptable as error:
        return str(error)
    return ""


@lru_cache(maxsize=KNOWN_EXPRESSIONS)
def expression_problem(text: str) -> str:
    """Why an expression cannot be used; empty where it can."""
    try:
        check_expression(text)
    except ExpressionNotAcceptable as error:
        return str(error)
    return ""
