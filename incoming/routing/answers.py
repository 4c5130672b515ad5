"""What follows a receipt, or why it cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from incoming.models import Route
from incoming.routing.actions import Action
from incoming.routing.texts import readable
from webhooks_project.lib.errors import DomainError

NOTHING_FOLLOWS: Final = "no route takes it"
TRANSFORMED_TO_NOTHING: Final = "the transformation gives nothing"


@dataclass(frozen=True, slots=True)
class Following:
    """What follows, in order; `detail` says why nothing does.

    `data` is the payload as JSON: transformed, or as it came, a JSON body byte for byte. `routes`
    are those that took the receipt, also where their expression then gave nothing to do.
    """

    actions: Sequence[Action]
    data: bytes = field(repr=False)
    routes: Sequence[Route] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why it cannot be told what follows: a machine-readable cause, and words safe to show."""

    cause: str
    detail: str


class Located(Exception):
    """An error, and which part of a source's rules it came of."""

    def __init__(self, where: str, error: Exception) -> None:
        self.where = where
        self.error = error


def cause_of(error: BaseException) -> str:
    """A machine-readable cause: the code of our own errors, of any other its class."""
    return (error.code if isinstance(error, DomainError) else type(error).__name__)[:64]


def failed_by(error: Exception, where: str = "") -> Failed:
    """The failure that an error is; `where` names the part of a source's rules it came of."""
    said = [where, str(getattr(error, "reason", "")), str(error)]
    return Failed(cause_of(error), readable(": ".join(filter(None, said)))[:500])
