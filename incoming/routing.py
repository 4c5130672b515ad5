"""What follows a receipt: found out here, written down by `incoming/process.py`.

Pure: nothing is read from the database, and nothing is written.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson
import structlog

from incoming.errors import BodyPruned, EvaluationTooLong, ResultNotAcceptable
from incoming.handlers import Handler, handlers_for, takes_type
from incoming.models import Receipt, Route, Source
from incoming.payload import call_of, data_of, document_of
from incoming.providers.locator import as_text, dig, header_name
from incoming.sources import public_url_of
from subscriptions.matching import MAX_TYPE_LENGTH
from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.filters import Filter, compile_filter
from webhooks_project.lib.jsonata import NOTHING, EvaluatorNotStarted, evaluate_many
from webhooks_project.lib.redaction import redact_headers

log = structlog.get_logger(__name__)

NOTHING_FOLLOWS: Final = "no route takes it"
TRANSFORMED_TO_NOTHING: Final = "the transformation gives nothing"
EVALUATIONS_AT_ONCE: Final = 8  # each has a quarter of a second; a pump must beat every few
EVALUATION_SECONDS: Final = 1.5  # after so long a batch goes on with what it has
# The same for what is read and asked before: large bodies, and conditions of many clauses. A pump
# that is silent for longer than its lease would lose the batch to another, and that one again.
ASKING_SECONDS: Final = 3.0
MAX_MESSAGE_LENGTH: Final = 2_000  # characters of a notification, filled in
MAX_KEPT_FILTERS: Final = 10_000

_PLACEHOLDER = re.compile(r"\{(provider|type|header:[^{}]+|json:[^{}]+)\}")
_NOT_OF_A_TYPE = re.compile(r"[^A-Za-z0-9_.-]")
_DOTS = re.compile(r"\.{2,}")
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Publish:
    """An event of a type; its data is the following's."""

    route: Route
    event_type: str


@dataclass(frozen=True, slots=True)
class Handle:
    """A run of a handler. `route` is None where the handler runs for all such receipts."""

    handler: str
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """A change of the integration's state: values by key, None where a key goes."""

    route: Route
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notify:
    """A message to the route's recipients."""

    route: Route
    title: str
    text: str


Action = Publish | Handle | Update | Notify


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


class _Located(Exception):
    """An error, and which part of a source's rules it came of."""

    def __init__(self, where: str, error: Exception) -> None:
        self.where = where
        self.error = error


Result = TypeVar("Result")
Item = tuple[Source, Sequence[Route], Receipt]


def cause_of(error: BaseException) -> str:
    """A machine-readable cause: the code of our own errors, of any other its class."""
    return (error.code if isinstance(error, DomainError) else type(error).__name__)[:64]


def failed_by(error: Exception, where: str = "") -> Failed:
    """The failure that an error is; `where` names the part of a source's rules it came of."""
    said = [where, str(getattr(error, "reason", "")), str(error)]
    return Failed(cause_of(error), _readable(": ".join(filter(None, said)))[:500])


def what_follows(source: Source, routes: Sequence[Route], receipt: Receipt) -> Following | Failed:
    """What follows a receipt by these routes, which stand in order and are all in force.

    The receipt need not be in the database.
    """
    answer = what_follows_each([(source, routes, receipt)])[0]
    assert answer is not None  # noqa: S101 - the first is always reached
    return answer


def what_follows_each(items: Sequence[Item]) -> list[Following | Failed | None]:
    """The same for many, whose expressions are evaluated together.

    None for those that were not reached in the time for a batch; the first always is.
    """
    until = time.monotonic() + EVALUATION_SECONDS
    subjects = [Subject(*item) for item in items]
    _bring_through(subjects, _transform, until)
    _bring_through(subjects, _follow, until)
    return [subject.answer for subject in subjects]


def payload_of(source: Source, receipt: Receipt) -> bytes | Failed:
    """The payload after the source's transformation, as JSON; what handlers are told.

    Failed also where the transformation gives nothing.
    """
    subject = Subject(source, (), receipt)
    _bring_through([subject], _transform, time.monotonic() + EVALUATION_SECONDS)
    if isinstance(subject.answer, Following):
        return Failed(ResultNotAcceptable.code, subject.answer.detail)
    return subject.answer or subject.data


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
        except _Located as error:
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


@dataclass(frozen=True, slots=True)
class Stage:
    """What is to be evaluated over a subject's payload, and what takes the answers."""

    subject: Subject
    expressions: Sequence[str]
    end: Callable[[Sequence[Any]], None]


def _bring_through(
    subjects: Iterable[Subject], stage_of: Callable[[Subject], Stage], until: float
) -> None:
    """Bring each subject through a stage, in order, as far as the time goes.

    Those that are not reached are left behind. Where not even one is done in the time, the first
    fails, so that no receipt is begun again for ever.
    """
    waiting: list[Stage] = []
    asking_until = time.monotonic() + ASKING_SECONDS
    open_ = [subject for subject in subjects if subject.answer is None and not subject.is_left]
    for number, subject in enumerate(open_):
        if number and time.monotonic() > asking_until:
            subject.is_left = True
            continue
        stage = subject.guard(stage_of, subject)
        if stage is not None and stage.expressions:
            waiting.append(stage)
        elif stage is not None:
            subject.guard(stage.end, ())
    answers = _evaluated(waiting, until)
    begin = 0
    for stage in waiting:
        end = begin + len(stage.expressions)
        if end <= len(answers):
            stage.subject.guard(stage.end, answers[begin:end])
        elif begin == 0:
            stage.subject.fail(EvaluationTooLong())
        else:
            stage.subject.is_left = True
        begin = end


def _evaluated(stages: Sequence[Stage], until: float) -> list[Any]:
    """The answers to the stages' expressions, in their order, as far as the time goes."""
    questions = [
        (expression, stage.subject.data, stage.subject.envelope)
        for stage in stages
        for expression in stage.expressions
    ]
    answers: list[Any] = []
    for start in range(0, len(questions), EVALUATIONS_AT_ONCE):
        if start and time.monotonic() > until:
            break
        asked = questions[start : start + EVALUATIONS_AT_ONCE]
        try:
            answers += evaluate_many(asked)
        except EvaluatorNotStarted as error:
            answers += [error] * len(asked)
    return answers


def _transform(subject: Subject) -> Stage:
    if subject.receipt.body_pruned_at is not None:
        raise BodyPruned
    subject.data = data_of(subject.receipt)

    def end(answers: Sequence[Any]) -> None:
        for answer in answers:
            if isinstance(answer, Exception):
                raise _Located("the transformation", answer)
            if answer is NOTHING:
                subject.answer = Following((), subject.data, detail=TRANSFORMED_TO_NOTHING)
                return
            subject.data = orjson.dumps(answer)

    expression = subject.source.transformation
    return Stage(subject, (expression,) if expression else (), end)


def _follow(subject: Subject) -> Stage:
    routes = list(_taking(subject))

    def end(answers: Sequence[Any]) -> None:
        given = iter(answers)
        actions: list[Action] = []
        for route in routes:
            answer = next(given) if _expression_of(route) else None
            try:
                action = _action(subject, route, answer)
            except Exception as error:
                raise _Located(f"the route at {route.position}", error) from error
            if action is not None:
                actions.append(action)
        subject.answer = Following(
            _with_handlers(subject, actions),
            subject.data,
            routes,
            "" if routes else NOTHING_FOLLOWS,
        )

    return Stage(subject, [text for route in routes if (text := _expression_of(route))], end)


def _taking(subject: Subject) -> Iterable[Route]:
    """The routes that take the subject. Raises EvaluationTooLong."""
    until = time.monotonic() + ASKING_SECONDS
    for number, route in enumerate(subject.routes):
        if number and time.monotonic() > until:
            raise EvaluationTooLong
        if takes_type(route.type_pattern, subject.receipt.type) and (
            not route.condition or _filter_of(route).matches(subject.document)
        ):
            yield route
            if route.is_last:
                return


def _expression_of(route: Route) -> str:
    """The expression that the route's action needs; empty where it needs none."""
    with_expression = (Route.Action.PUBLISH, Route.Action.UPDATE)
    return route.expression if route.action in with_expression else ""


def _action(subject: Subject, route: Route, answer: Any) -> Action | None:
    """What the route does; None where its expression gives nothing to do."""
    if isinstance(answer, Exception):
        raise answer
    if answer is NOTHING:
        return None
    match route.action:
        case Route.Action.PUBLISH:
            return Publish(route, _event_type(subject, route, answer))
        case Route.Action.HANDLE:
            return Handle(route.handler, route)
        case Route.Action.UPDATE:
            if not isinstance(answer, dict):
                raise ResultNotAcceptable("the expression of an update gives an object")
            return Update(route, answer)
        case Route.Action.NOTIFY:
            source = subject.source
            return Notify(
                route,
                title=f"{source.name}: {_readable(subject.receipt.type) or source.provider}",
                text=message_of(route.message, subject.place),
            )
    raise ResultNotAcceptable(f"{route.action!r} is no action")


def _with_handlers(subject: Subject, actions: Sequence[Action]) -> list[Action]:
    """The actions, each handler once, and the handlers that run without a route."""
    names: set[str] = set()
    found: list[Action] = []
    asked = [Handle(item.name) for item in _handlers_for(subject)]
    for action in (*actions, *asked):
        if isinstance(action, Handle):
            if action.handler in names:
                continue
            names.add(action.handler)
        found.append(action)
    return found


def _handlers_for(subject: Subject) -> Sequence[Handler]:
    return handlers_for(subject.source.provider, subject.receipt.type)


# A route's condition, compiled, and what it was compiled from: a changed row is compiled anew.
_filters: dict[UUID, tuple[Any, Filter]] = {}


def _filter_of(route: Route) -> Filter:
    known = _filters.get(route.pk)
    if known is not None and known[0] == route.condition:
        return known[1]
    if len(_filters) >= MAX_KEPT_FILTERS:
        _filters.clear()
    compiled = compile_filter(route.condition)
    _filters[route.pk] = (route.condition, compiled)
    return compiled


# --- texts ----------------------------------------------------------------------------------------


def _event_type(subject: Subject, route: Route, answer: Any) -> str:
    if not _expression_of(route):
        template = route.event_type
        if ":" not in template:
            return _plain_event_type(template, subject.source.provider, subject.receipt.type)
        return event_type_of(template, subject.place)
    if not isinstance(answer, str):
        raise ResultNotAcceptable("the expression of an event's type gives a text")
    return _bounded_type(_type_part(answer))


@lru_cache(maxsize=4096)
def _plain_event_type(template: str, provider: str, type_: str) -> str:
    return event_type_of(template, {"provider": provider, "type": type_}.get)


def event_type_of(template: str, place: Callable[[str], str | None]) -> str:
    """A route's event type, filled in: `shopify` and `orders/create` give `shopify.orders.create`.

    `place` gives what a placeholder stands for: `provider`, `type`, `header:X-Name` or
    `json:path.to`. What an event type cannot hold becomes `_`; what is not there, `unknown`.
    """
    return _bounded_type(
        _PLACEHOLDER.sub(lambda found: _type_part(place(found[1]) or ""), template)
    )


def _bounded_type(text: str) -> str:
    return text[:MAX_TYPE_LENGTH].rstrip(".")


def _type_part(text: str) -> str:
    plain = _NOT_OF_A_TYPE.sub("_", text.replace("/", ".").replace(":", "."))
    return _DOTS.sub(".", plain).strip(".") or "unknown"


def message_of(template: str, place: Callable[[str], str | None]) -> str:
    """A notification's text, filled in as `event_type_of` does, but with the values as they are.

    Characters that a reader does not see go, save line ends; what is not there is empty.
    """
    filled = _PLACEHOLDER.sub(lambda found: place(found[1]) or "", template)
    return _readable(filled)[:MAX_MESSAGE_LENGTH]


def _readable(text: str) -> str:
    return _CONTROLS.sub("", text.replace("\r\n", "\n"))
