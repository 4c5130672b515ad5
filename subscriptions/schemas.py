"""Checking a payload against an event type's JSON Schema, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from threading import Lock
from typing import Any, Final
from uuid import UUID

import jsonschema_rs
import orjson
from django.db.models import FilteredRelation, Q

from subscriptions.models import EventSchema, EventType
from webhooks_project.accounts.models import Account, UnknownEventTypes, generation_of
from webhooks_project.lib.json_schema import escaped
from webhooks_project.lib.prepared import Prepared

MAX_KNOWN: Final = 512  # schemas that a process keeps ready
MAX_ERRORS: Final = 20  # reported at once; the rest would not help a reader


@dataclass(frozen=True, slots=True)
class SchemaError:
    """One place where a payload does not fit. `path` is a JSON Pointer, empty for the whole."""

    path: str
    message: str


def check_payload(schema: Any, payload: Any) -> list[SchemaError]:
    """The errors of a payload under a JSON Schema (draft 2020-12 unless it says otherwise).

    Raises ValueError where the schema itself is not one.
    """
    return _errors(_validator(orjson.dumps(schema)), payload)


class Verdict(StrEnum):
    """What is to be done with an event that somebody publishes."""

    FIT = "fit"
    WARN = "warn"  # stored and delivered, and the answer says what is wrong
    REJECT = "reject"
    QUARANTINE = "quarantine"  # stored, and delivered only on an operator's word


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the catalogue says of an event.

    `code` is the machine-readable cause, empty where there is nothing to say: event_type_unknown,
    event_type_archived, event_type_deprecated, schema_version_unknown or schema_mismatch.
    `warnings` are for the answer to whoever publishes. `schema_version` is what it was checked
    against, `major.minor`; empty where there was nothing to check it against.
    """

    verdict: Verdict
    code: str = ""
    schema_version: str = ""
    errors: tuple[SchemaError, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownType:
    """An event type as far as publishing goes by it; its schemas by `(major, minor)`."""

    mode: str
    is_archived: bool
    is_deprecated: bool
    successor: str
    schemas: dict[tuple[int, int], UUID]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is needed to judge some events: read once for many of them."""

    unknown_event_types: Mapping[UUID, str]
    types: Mapping[tuple[UUID, str], KnownType]
    validators: Mapping[UUID, Any]


def _catalogue_rows(accounts: Sequence[UUID], names: Sequence[str]) -> Any:
    known = FilteredRelation("event_types", condition=Q(event_types__name__in=names))
    rows = Account.objects.filter(pk__in=accounts).annotate(known=known).order_by()
    return rows.values_list(
        generation_of("pk"), "pk", "unknown_event_types", "known__name", "known__schema_mode",
        "known__archived_at", "known__deprecated_at", "known__successor__name",
        "known__schemas__pk", "known__schemas__major", "known__schemas__minor",
    )  # fmt: skip


catalogues = Prepared(_catalogue_rows)


@dataclass(frozen=True, slots=True)
class Entries:
    """What `catalogues` says: of each account its generation and what it makes of unknown types,
    and its types."""

    generations: dict[UUID, UUID | None]
    unknown_event_types: dict[UUID, str]
    types: dict[tuple[UUID, str], KnownType]


def entries_of(rows: Iterable[Any]) -> Entries:
    """The rows of `catalogues`, together."""
    entries = Entries({}, {}, {})
    types = entries.types
    for generation, account_id, setting, name, mode, archived, deprecated, *rest in rows:
        entries.generations[account_id] = generation
        entries.unknown_event_types[account_id] = setting
        if name is None:
            continue
        successor, key, major, minor = rest
        known = types.setdefault(
            (account_id, name),
            KnownType(mode, archived is not None, deprecated is not None, successor or "", {}),
        )
        if key is not None:
            known.schemas[major, minor] = key
    return entries


def catalogue_of(
    asked: Iterable[tuple[UUID, str, str]],
    unknown_event_types: Mapping[UUID, str],
    types: Mapping[tuple[UUID, str], KnownType],
) -> Catalogue:
    """All that judging these (account, event type, version asked for) takes.

    One query where a schema is met for the first time in this process.
    """
    needed: set[UUID] = set()
    for account_id, name, version in asked:
        found = types.get((account_id, name))
        wanted_number = _number_asked_for(found, version) if found else None
        if found and wanted_number and found.mode != EventType.SchemaMode.OFF:
            needed.add(found.schemas[wanted_number])
    return Catalogue(unknown_event_types, types, _validators(needed) if needed else {})


def judge_event(
    catalogue: Catalogue, *, account_id: UUID, type: str, data: Any, version: str = ""
) -> Judgement:
    """What is to be done with an event, of which `data` is the parsed payload.

    `version` is what the publisher asks for: `2.1`, or `2` for the latest of that major version;
    empty for the latest of all. The catalogue was loaded for the same three.
    """
    known = catalogue.types.get((account_id, type))
    if known is None:
        return _unknown(type, catalogue.unknown_event_types.get(account_id, ""))
    if known.is_archived:
        return Judgement(Verdict.REJECT, "event_type_archived", warnings=(f"{type} is archived",))
    warnings: tuple[str, ...] = ()
    if known.is_deprecated:
        instead = f"; use {known.successor}" if known.successor else ""
        warnings = (f"{type} is deprecated{instead}",)
    number = _number_asked_for(known, version)
    if version and number is None:
        words = f"{type} has no schema version {version[:20]}"
        return Judgement(Verdict.REJECT, "schema_version_unknown", warnings=(*warnings, words))
    if number is None or known.mode == EventType.SchemaMode.OFF:
        return _fitting("", warnings)
    shown = f"{number[0]}.{number[1]}"
    errors = tuple(_errors(catalogue.validators[known.schemas[number]], data))
    if not errors:
        return _fitting(shown, warnings)
    words = f"the data does not fit {type} v{shown}"
    return Judgement(Verdict(known.mode), "schema_mismatch", shown, errors, (*warnings, words))


def _unknown(type: str, setting: str) -> Judgement:
    words = (f"{type} is not in the catalogue of event types",)
    if setting == UnknownEventTypes.REJECT:
        return Judgement(Verdict.REJECT, "event_type_unknown", warnings=words)
    if setting == UnknownEventTypes.WARN:
        return Judgement(Verdict.WARN, "event_type_unknown", warnings=words)
    return Judgement(Verdict.FIT)


def _fitting(version: str, warnings: tuple[str, ...]) -> Judgement:
    if warnings:
        return Judgement(Verdict.WARN, "event_type_deprecated", version, (), warnings)
    return Judgement(Verdict.FIT, schema_version=version)


def _number_asked_for(known: KnownType, version: str) -> tuple[int, int] | None:
    """The number of the schema that a version means; None where there is none."""
    meant = (
        number
        for number in known.schemas
        if version in ("", str(number[0]), f"{number[0]}.{number[1]}")
    )
    return max(meant, default=None)


_known_validators: dict[UUID, Any] = {}  # a schema's row never changes
_changing_validators = Lock()


def _validators(needed: set[UUID]) -> dict[UUID, Any]:
    # Looked at by key alone: another thread may add or drop one at any moment.
    known = {key: _known_validators.get(key) for key in needed}
    found = {key: validator for key, validator in known.items() if validator is not None}
    if missing := needed - found.keys():
        for key, schema in EventSchema.objects.filter(pk__in=missing).values_list("pk", "schema"):
            found[key] = _validator(orjson.dumps(schema))
        with _changing_validators:
            _known_validators.update((key, found[key]) for key in missing if key in found)
            while len(_known_validators) > MAX_KNOWN:
                del _known_validators[next(iter(_known_validators))]
    return found


def _errors(validator: Any, payload: Any) -> list[SchemaError]:
    try:
        found = validator.iter_errors(payload)
    except ValueError:  # what does not fit is shown in its error, and that goes down 255 levels
        return [SchemaError(path="", message="it is nested too deeply to be checked")]
    return [
        SchemaError(
            path="".join(f"/{escaped(step)}" for step in error.instance_path),
            message=error.message[:500],
        )
        for error, _ in zip(found, range(MAX_ERRORS), strict=False)
    ]


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> Any:
    try:
        return jsonschema_rs.validator_for(
            orjson.loads(schema),
            pattern_options=jsonschema_rs.RegexOptions(),  # linear time, whatever the pattern
            retriever=_no_retrieval,
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise ValueError(f"this is no JSON Schema: {error}") from error


def _no_retrieval(uri: str) -> Any:
    # A schema comes from a customer: fetching what it points to would be a way into our network.
    raise ValueError(f"a schema may not refer to another document ({uri[:100]})")
