"""Stages that subjects are brought through, their expressions evaluated together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from incoming.errors import EvaluationTooLong
from incoming.routing.subjects import Subject
from webhooks_project.lib.jsonata import EvaluatorNotStarted, evaluate_many

EVALUATIONS_AT_ONCE: Final = 8  # each has a quarter of a second; a pump must beat every few
# The same for what is read and asked before: large bodies, and conditions of many clauses. A pump
# that is silent for longer than its lease would lose the batch to another, and that one again.
ASKING_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What is to be evaluated over a subject's payload, and what takes the answers."""

    subject: Subject
    expressions: Sequence[str]
    end: Callable[[Sequence[Any]], None]


def bring_through(
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
