"""Receipts are brought through the source's transformation and its routes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import orjson

from incoming.errors import BodyPruned, ResultNotAcceptable
from incoming.models import Receipt, Route, Source
from incoming.payload import data_of
from incoming.routing.answers import TRANSFORMED_TO_NOTHING, Failed, Following, Located
from incoming.routing.routes import follow
from incoming.routing.stages import Stage, bring_through
from incoming.routing.subjects import Subject
from webhooks_project.lib.jsonata import NOTHING

EVALUATION_SECONDS: Final = 1.5  # after so long a batch goes on with what it has
Item = tuple[Source, Sequence[Route], Receipt]


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
    bring_through(subjects, _transform, until)
    bring_through(subjects, follow, until)
    return [subject.answer for subject in subjects]


def payload_of(source: Source, receipt: Receipt) -> bytes | Failed:
    """The payload after the source's transformation, as JSON; what handlers are told.

    Failed also where the transformation gives nothing.
    """
    subject = Subject(source, (), receipt)
    bring_through([subject], _transform, time.monotonic() + EVALUATION_SECONDS)
    if isinstance(subject.answer, Following):
        return Failed(ResultNotAcceptable.code, subject.answer.detail)
    return subject.answer or subject.data


def _transform(subject: Subject) -> Stage:
    if subject.receipt.body_pruned_at is not None:
        raise BodyPruned
    subject.data = data_of(subject.receipt)

    def end(answers: Sequence[Any]) -> None:
        for answer in answers:
            if isinstance(answer, Exception):
                raise Located("the transformation", answer)
            if answer is NOTHING:
                subject.answer = Following((), subject.data, detail=TRANSFORMED_TO_NOTHING)
                return
            subject.data = orjson.dumps(answer)

    expression = subject.source.transformation
    return Stage(subject, (expression,) if expression else (), end)
