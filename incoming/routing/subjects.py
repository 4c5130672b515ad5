"""A receipt on its way to what follows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import orjson
import structlog

from incoming.models import Receipt, Route, Source
from incoming.payload import call_of, document_of
from incoming.providers.locator import as_text, dig, header_name
from incoming.routing.answers import Failed, Following, Located, failed_by
from incoming.sources import public_url_of
from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.redaction import redact_headers

log = structlog.get_logger(__name__)
Result = TypeVar("Result")


class Subject:
    """A receipt on its way to what follows it. What it needs is read when it is needed."""

    def __init__(self, source: Source, routes: Sequence[Route], receipt: Receipt) -> None:
        self.source = source
        self.routes = routes
        self.receipt = receipt
        self.answer: Following | Failed | None = None
        self.is_left = False  # the time was over before its turn
        self.data = b""

    @cached_property
    def value(self) -> Any:
        """The payload, parsed."""
        return orjson.loads(self.data)

    @cached_property
    def envelope(self) -> dict[str, Any]:
        """What is known beside the payload. What may hold a secret is masked."""
        call = call_of(self.receipt, public_url_of(self.source))
        document = document_of(
            call, type_=self.receipt.type, provider=self.source.provider, data=None
        )
        document["headers"] = redact_headers(document["headers"])
        document["query"] = redact_headers(document["query"])
        del document["data"]
        return document

    @cached_property
    def document(self) -> dict[str, Any]:
        """What conditions are asked of: the envelope, and the payload as `data`."""
        return {**self.envelope, "data": self.value}

    def place(self, name: str) -> str | None:
        """What a placeholder stands for; None where the receipt has no such thing."""
        if name == "provider":
            return self.source.provider
        if name == "type":
            return self.receipt.type or None
        kind, _, where = name.partition(":")
        if kind == "header":
            found: str | None = self.envelope["headers"].get(header_name(where))
            return found
        return as_text(dig(self.value, where))

    def guard(self, work: Callable[..., Result], *arguments: object) -> Result | None:
        """Do something for this subject alone: its failure is not the others'."""
        try:
            return work(*arguments)
        except Located as error:
            self.fail(error.error, error.where)
        except Exception as error:
            self.fail(error)
        return None

    def fail(self, error: Exception, where: str = "") -> None:
        """End with a failure."""
        if not isinstance(error, DomainError):
            log.error("a receipt cannot be followed", receipt_id=str(self.receipt.pk),
                      exc_info=error)  # fmt: skip
        self.answer = failed_by(error, where)
