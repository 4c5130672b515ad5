"""An event type as a document describes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from subscriptions.documents.values import list_of, text_of
from webhooks_project.lib.json_schema import standalone


@dataclass(frozen=True)
class Described:
    """An event type as a document describes it; `where` is the file and the place in it.

    Where `problem` is not empty, it cannot be read and the rest counts for nothing. A `successor`
    is another's name.
    """

    name: str
    where: str
    schema: Any = True
    description: str = ""
    group: str = ""
    owner: str = ""
    is_deprecated: bool = False
    successor: str = ""
    examples: Sequence[Any] = field(default_factory=tuple)
    problem: str = ""


def described(document: Any, schema: Any, name: str, where: str, **fields: Any) -> Described:
    """What a schema in a document says of its event type; `fields` are what is said beside it."""
    try:
        whole = standalone(document, schema)
    except ValueError as error:
        return Described(name, where, problem=str(error))
    said = schema if isinstance(schema, dict) else {}
    given = {
        "description": text_of(said.get("description")) or text_of(said.get("title")),
        "is_deprecated": said.get("deprecated") is True,
        **fields,
    }
    examples = given.pop("examples", None)
    if not examples:
        examples = whole.get("examples", ()) if isinstance(whole, dict) else ()
    if isinstance(whole, dict):
        whole.pop("examples", None)  # they are kept beside it
        whole.pop("x-event-type", None)
    return Described(name, where, schema=whole, examples=tuple(list_of(examples)), **given)
