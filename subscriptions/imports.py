"""Bringing described event types into a catalogue: first what would be done, then that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import orjson
from django.db import transaction

from subscriptions.compatibility import Change
from subscriptions.documents import Described
from subscriptions.errors import ImportNotAcceptable
from subscriptions.event_types import (
    MAX_EXAMPLES,
    MAX_EXAMPLES_BYTES,
    add_schema,
    change_event_type,
    change_examples,
    check_new_schema,
    check_schema,
    create_event_type,
    deprecate_event_type,
)
from subscriptions.models import EventSchema, EventType
from subscriptions.schemas import check_payload
from webhooks_project.accounts.models import Account
from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.json_schema import standalone


class Outcome(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    BROKEN = "broken"  # it needs a new major version or an explicit word
    REFUSED = "refused"


NOT_ACCEPTABLE: Final = frozenset({Outcome.BROKEN, Outcome.REFUSED})


@dataclass(frozen=True)
class Line:
    """What is done, or would be, with one type.

    `version` is the number of the schema that is added, empty for none; `changed_fields` what else
    changes; `changes` what the schema breaks; `problem` why it is refused. Examples that do not
    fit are left out, and `example_problems` says why.
    """

    name: str
    where: str
    outcome: Outcome
    version: str = ""
    changed_fields: Sequence[str] = field(default_factory=tuple)
    changes: Sequence[Change] = field(default_factory=tuple)
    example_count: int = 0
    example_problems: Sequence[str] = field(default_factory=tuple)
    problem: str = ""


@dataclass(frozen=True)
class Import:
    """An import, line by line. `is_done` is False for a dry run."""

    is_done: bool
    lines: Sequence[Line]

    @property
    def counts(self) -> dict[str, int]:
        """How many lines have each outcome."""
        found = Counter(line.outcome for line in self.lines)
        return {outcome.value: found[outcome] for outcome in Outcome}


def plan_import(
    *,
    account: Account,
    described: Iterable[Described],
    major: bool = False,
    allow_breaking: bool = False,
) -> Import:
    """What `import_event_types` with the same words would do; nothing is written."""
    items = list(described)
    known = _known(account, items)
    planned = [_planned(item, known.get(item.name), major, allow_breaking) for item in items]
    return Import(is_done=False, lines=[line for line, _ in planned])


@transaction.atomic
def import_event_types(
    *,
    account: Account,
    described: Iterable[Described],
    major: bool = False,
    allow_breaking: bool = False,
    best_effort: bool = False,
) -> Import:
    """Make the catalogue agree with what is described; types that are not described stay.

    All or nothing: ImportNotAcceptable, with the lines, where one is broken or refused. With
    `best_effort` those are left out. `major` and `allow_breaking` are as in `add_schema`; `major`
    counts only where a schema breaks something.
    """
    items = list(described)
    known = _known(account, items)
    planned = [_planned(item, known.get(item.name), major, allow_breaking) for item in items]
    lines = [line for line, _ in planned]
    bad = [line for line in lines if line.outcome in NOT_ACCEPTABLE]
    if bad and not best_effort:
        first = bad[0]
        raise ImportNotAcceptable(
            f"{len(bad)} of {len(lines)} types cannot be imported, so none was; "
            f"{first.name}: {first.problem}",
            lines=[asdict(line) for line in lines],
        )
    made: dict[str, EventType] = {}
    for line, item in planned:
        if line.outcome not in NOT_ACCEPTABLE:
            made[item.name] = _apply(account, item, line, known.get(item.name), allow_breaking)
    for item in items:
        if item.name in made and item.is_deprecated:
            _deprecate(made[item.name], item.successor)
    return Import(is_done=True, lines=lines)


# --- one type ---


@dataclass(frozen=True)
class _Known:
    event_type: EventType
    latest: EventSchema | None


def _known(account: Account, items: Sequence[Described]) -> dict[str, _Known]:
    """The types that are there, each with its latest schema, in two queries."""
    types = {
        row.pk: row
        for row in EventType.objects.filter(
            account=account, name__in=[item.name for item in items]
        ).select_related("successor")
    }
    numbers = EventSchema.objects.filter(event_type__in=types).order_by("version")
    latest = dict(numbers.values_list("event_type_id", "pk"))
    schemas = EventSchema.objects.in_bulk(list(latest.values()))
    return {
        row.name: _Known(row, schemas.get(latest[key]) if key in latest else None)
        for key, row in types.items()
    }


def _planned(
    item: Described, known: _Known | None, major: bool, allow_breaking: bool
) -> tuple[Line, Described]:
    """The line, and the type with those of its examples that are kept."""
    problem = item.problem
    if not problem:
        try:
            check_schema(item.schema)
            problems = _example_problems(item)
            fitting = [
                example for index, example in enumerate(item.examples) if index not in problems
            ]
            item = replace(item, examples=_kept(fitting))
            line = _line(item, known, major, allow_breaking)
            return replace(line, example_problems=tuple(problems.values())), item
        except DomainError as error:
            problem = str(error)
    return Line(item.name, item.where, Outcome.REFUSED, problem=problem), item


def _example_problems(item: Described) -> dict[int, str]:
    """What is wrong with those examples that do not fit, by their place."""
    found: dict[int, str] = {}
    for index, example in enumerate(item.examples):
        if errors := check_payload(item.schema, example):
            words = f"example {index + 1}: {errors[0].path or 'the whole'}: {errors[0].message}"
            found[index] = words[:160]
    return found


def _line(item: Described, known: _Known | None, major: bool, allow_breaking: bool) -> Line:
    line = Line(item.name, item.where, Outcome.CREATED, "1.0", example_count=len(item.examples))
    if known is None:
        return line
    fields = tuple(_changed_fields(item, known))
    line = replace(line, outcome=Outcome.CHANGED, changed_fields=fields)
    if known.latest is not None and _is_same(known.latest.schema, item.schema):
        return replace(line, version="", outcome=line.outcome if fields else Outcome.UNCHANGED)
    check = check_new_schema(event_type=known.event_type, schema=item.schema)
    if check.changes and major:
        check = check_new_schema(event_type=known.event_type, schema=item.schema, major=True)
    line = replace(line, version=check.number, changes=tuple(check.changes))
    if check.is_allowed or allow_breaking:
        return line
    words = "the schema breaks readers or writers; it needs a new major version"
    return replace(line, outcome=Outcome.BROKEN, problem=words)


def _changed_fields(item: Described, known: _Known) -> Iterable[str]:
    """What a document says otherwise; what it does not say stays as it is."""
    for name in ("description", "group", "owner"):
        if getattr(item, name) and getattr(item, name) != getattr(known.event_type, name):
            yield name
    if (
        item.is_deprecated
        and known.event_type.deprecated_at is None
        and (known.event_type.archived_at is None)
    ):
        yield "deprecated"
    examples = list(item.examples)
    if known.latest is not None and examples and examples != known.latest.examples:
        yield "examples"


def _apply(
    account: Account, item: Described, line: Line, known: _Known | None, allow_breaking: bool
) -> EventType:
    if known is None:
        event_type = create_event_type(
            account=account,
            name=item.name,
            description=item.description,
            group=item.group,
            owner=item.owner,
        )
    else:
        event_type = known.event_type
        told = {
            name: getattr(item, name)
            for name in ("description", "group", "owner")
            if name in line.changed_fields
        }
        if told:
            change_event_type(event_type=event_type, **told)
    if line.version:
        add_schema(
            event_type=event_type,
            schema=item.schema,
            examples=item.examples,
            major=line.version.endswith(".0") and line.version != "1.0",
            allow_breaking=allow_breaking,
        )
    elif "examples" in line.changed_fields and known is not None and known.latest is not None:
        change_examples(schema=known.latest, examples=item.examples)
    return event_type


def _deprecate(event_type: EventType, successor: str) -> None:
    if event_type.archived_at is not None:
        return
    named = EventType.objects.filter(
        account=event_type.account_id, name=successor, archived_at=None
    ).exclude(pk=event_type.pk)
    found = named.first() if successor else None
    if event_type.deprecated_at is None or (found and found.pk != event_type.successor_id):
        deprecate_event_type(event_type=event_type, successor=found)


def _is_same(stored: Any, described: Any) -> bool:
    if stored == described:
        return True
    try:
        return bool(standalone(stored, stored) == standalone(described, described))
    except ValueError:
        return False


def _kept(examples: Sequence[Any]) -> list[Any]:
    """The first examples, as many as are kept."""
    kept: list[Any] = []
    room = MAX_EXAMPLES_BYTES - 2
    for example in examples[:MAX_EXAMPLES]:
        room -= len(orjson.dumps(example)) + 1
        if room < 0:
            break
        kept.append(example)
    return kept
