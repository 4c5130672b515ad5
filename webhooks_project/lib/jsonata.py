"""Transformations: JSONata expressions that strangers wrote, evaluated within bounds.

Every process that uses this has one child process of its own (`jsonata_child`), started at the
first use and asked by one thread at a time. Why: docs/decisions/0007-expressions-in-a-child.md.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import orjson

from webhooks_project.lib.errors import DomainError

EXPRESSION_LENGTH: Final = 16_384  # characters
START_SECONDS: Final = 20  # a child silent for longer will not start
GRACE_MS: Final = 50  # after an item's time, the child ends itself
SILENCE_MS: Final = 2_000  # after that, and with the child still there, we end it
REQUEST_BYTES: Final = 8 * 2**20  # a batch goes out in requests of about this size,
REQUEST_ITEMS: Final = 64  # and of so many items, so that other threads come in between
FAILURES: Final = ("timed_out", "out_of_memory", "too_deep", "too_large", "failed")

_LENGTHS = struct.Struct("!II")
_CHILD = Path(__file__).with_name("jsonata_child.py")


class ExpressionNotAcceptable(DomainError):
    """The expression is not one that can be evaluated.

    `reason` is syntax, too_deep or too_long; `position` counts characters, None where the whole is
    meant.
    """

    code: ClassVar[str] = "expression_not_acceptable"

    def __init__(self, message: str = "", *, reason: str, position: int | None = None) -> None:
        super().__init__(message, reason=reason, position=position)
        self.reason = reason
        self.position = position


class EvaluationFailed(DomainError):
    """The expression gave no result. `reason` is one of FAILURES.

    The message holds nothing of the data, save what the expression itself puts in an `$error`.
    """

    code: ClassVar[str] = "evaluation_failed"

    def __init__(self, message: str = "", *, reason: str, position: int | None = None) -> None:
        super().__init__(message, reason=reason, position=position)
        self.reason = reason
        self.position = position


class EvaluatorNotStarted(RuntimeError):
    """The process that evaluates expressions did not start: this installation is not whole."""


class Nothing:
    """The type of NOTHING."""

    def __repr__(self) -> str:
        return "NOTHING"

    def __bool__(self) -> bool:
        return False


NOTHING: Final = Nothing()  # what an expression gives that selects nothing; null is None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one evaluation may use. Levels count nested objects and arrays."""

    time_ms: int = 250
    memory_mib: int = 256  # above what the idle child has
    input_bytes: int = 8 * 2**20
    levels_in: int = 256
    output_bytes: int = 2**20
    levels_out: int = 128


LIMITS: Final = Limits()

Item = tuple[str, Any, Mapping[str, Any] | None]


def check_expression(text: str) -> None:
    """Raise ExpressionNotAcceptable where the text is no expression."""
    answer = _ask([_question("check", text, b"", None, LIMITS)], LIMITS)[0]
    if isinstance(answer, DomainError):
        raise answer


def evaluate(
    expression: str,
    data: Any,
    bindings: Mapping[str, Any] | None = None,
    limits: Limits = LIMITS,
) -> Any:
    """What the expression makes of the data, or NOTHING.

    `data` is a value, or bytes (or a view of them) that are its JSON; `bindings` are `$names`,
    without the sign. `$now` and `$millis` are the moment of the call. Numbers are doubles, as
    JSONata has them, but an integer of up to 64 bits that is only copied comes out as it went in.

    Raises ExpressionNotAcceptable, EvaluationFailed.
    """
    result = evaluate_many([(expression, data, bindings)], limits)[0]
    if isinstance(result, DomainError):
        raise result
    return result


def evaluate_many(items: Sequence[Item], limits: Limits = LIMITS) -> list[Any]:
    """For each (expression, data, bindings) what `evaluate` would return or raise, as a value.

    Each item has the limits for itself, and its failure touches no other.
    """
    return _ask([_question("evaluate", *item, limits) for item in items], limits)


def close() -> None:
    """End the child, if there is one. The next use starts another."""
    global _child
    with _lock:
        if _child is not None:
            _child.end()
            _child = None


# -- one question and its answer ------------------------------------------------------------------


class _Question(NamedTuple):
    kind: str
    expression: str
    data: bytes
    bindings: bytes


def _question(
    kind: str, expression: str, data: Any, bindings: Mapping[str, Any] | None, limits: Limits
) -> _Question | DomainError:
    """The question, or what is wrong with it before it is asked."""
    if len(expression) > EXPRESSION_LENGTH:
        message = f"The expression is longer than {EXPRESSION_LENGTH} characters."
        return ExpressionNotAcceptable(message, reason="too_long")
    try:
        expression.encode()
    except UnicodeEncodeError as error:
        message = "The expression holds half of a surrogate pair."
        return ExpressionNotAcceptable(message, reason="syntax", position=error.start)
    try:
        is_raw = isinstance(data, bytes | bytearray | memoryview)
        raw = bytes(data) if is_raw else orjson.dumps(data)
        raw_bindings = orjson.dumps(dict(bindings)) if bindings else b""
    except orjson.JSONEncodeError as error:
        deep = "Recursion limit" in str(error)
        message = "The data is nested too deeply." if deep else "The data is not JSON."
        return EvaluationFailed(message, reason="too_deep" if deep else "failed")
    if len(raw) + len(raw_bindings) > limits.input_bytes:
        message = f"The data is larger than {limits.input_bytes} bytes."
        return EvaluationFailed(message, reason="too_large")
    return _Question(kind, expression, raw, raw_bindings)


def _value(answer: dict[str, Any], result: bytes) -> Any:
    match answer["outcome"]:
        case "value":
            return orjson.loads(result)
        case "nothing":
            return NOTHING
        case "checked":
            return None
        case "refused":
            kind: type[ExpressionNotAcceptable | EvaluationFailed] = ExpressionNotAcceptable
        case _:
            kind = EvaluationFailed
    return kind(answer["message"], reason=answer["reason"], position=answer.get("position"))


# -- the child ------------------------------------------------------------------------------------


class _Ended(Exception):
    """The child ended. `signal_number` is what ended it, 0 where it ended itself."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class _Child:
    """A running child and its two pipes. Not safe for threads: hold `_lock`."""

    def __init__(self) -> None:
        self.served = 0  # items answered
        self.unread = bytearray()
        self.process = subprocess.Popen(  # noqa: S603 our own file
            [sys.executable, "-I", "-S", "-X", "utf8", str(_CHILD), *_package_folders()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"MIMALLOC_ARENA_RESERVE": "16384"},  # KiB at a time; its usual GiB hides the bound
            bufsize=0,
        )
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: S101, PT018
        self.requests = self.process.stdin.fileno()
        self.answers = self.process.stdout.fileno()
        os.set_blocking(self.requests, False)
        os.set_blocking(self.answers, False)
        try:
            self.receive(START_SECONDS)
        except _Ended as ended:
            message = f"{EvaluatorNotStarted.__doc__} (signal {ended.signal_number})"
            raise EvaluatorNotStarted(message) from ended

    def send(self, request: bytes, seconds: float) -> None:
        """Raises _Ended where the child is gone or takes nothing more."""
        until = time.monotonic() + seconds
        rest = memoryview(request)
        while rest:
            try:
                rest = rest[os.write(self.requests, rest) :]
            except BlockingIOError:
                self.wait_for(self.requests, select.POLLOUT, until)
            except BrokenPipeError:
                raise _Ended(self.end()) from None

    def receive(self, seconds: float) -> tuple[bytes, bytes]:
        """The next answer's header and result. Raises _Ended, also after that many seconds."""
        until = time.monotonic() + seconds
        header_length, result_length = _LENGTHS.unpack(self.read(_LENGTHS.size, until))
        return self.read(header_length, until), self.read(result_length, until)

    def read(self, length: int, until: float) -> bytes:
        while len(self.unread) < length:
            try:
                part = os.read(self.answers, 2**20)
            except BlockingIOError:
                self.wait_for(self.answers, select.POLLIN, until)
                continue
            if not part:
                raise _Ended(self.end())
            self.unread += part
        wanted = bytes(self.unread[:length])
        del self.unread[:length]
        return wanted

    def wait_for(self, descriptor: int, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0, until - time.monotonic()) * 1000):
            self.process.kill()
            self.end()
            raise _Ended(signal.SIGALRM)  # what it should have had from its own timer

    def end(self) -> int:
        """Close the pipes, which ends it, and reap it. Returns the signal that did, or 0."""
        self.close()
        try:
            code = self.process.wait(SILENCE_MS / 1000)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return max(0, -code)

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


_lock = threading.Lock()
_child: _Child | None = None


def _ask(questions: Sequence[_Question | DomainError], limits: Limits) -> list[Any]:
    results: list[Any] = list(questions)
    waiting = [n for n, question in enumerate(questions) if isinstance(question, _Question)]
    asked_again: set[int] = set()
    while waiting:
        with _lock:
            served, ended = _child.served if _child else 0, None
            request = _first_of(waiting, results)
            try:
                # Closed before the lock is let go: an interrupted child is out of step.
                with closing(_answers([results[n] for n in request], limits)) as answers:
                    for result in answers:
                        results[waiting.pop(0)] = result
            except _Ended as error:
                ended = error.signal_number
        if ended is None:
            continue
        # What ended an old child may not be this item's doing: a fresh one tells.
        innocent = ended != signal.SIGALRM and (served or ended in (0, signal.SIGKILL))
        if innocent and waiting[0] not in asked_again:
            asked_again.add(waiting[0])
        else:
            results[waiting.pop(0)] = _failure_of(ended, limits)
    return results


def _first_of(waiting: list[int], questions: list[Any]) -> list[int]:
    """As many of the waiting as one request carries, one at least."""
    size = 0
    for count, n in enumerate(waiting):
        size += len(questions[n].data) + len(questions[n].bindings)
        if count and (size > REQUEST_BYTES or count == REQUEST_ITEMS):
            return waiting[:count]
    return list(waiting)


def _answers(questions: list[_Question], limits: Limits) -> Generator[Any, None, None]:
    """The results in order, each as it comes. Raises _Ended where the child ends before."""
    global _child
    child = _child = _child or _Child()
    silence_seconds = (limits.time_ms + GRACE_MS + SILENCE_MS) / 1000
    kept = False
    try:
        child.send(_request(questions, limits), silence_seconds)
        for _ in questions:
            answer, result = child.receive(silence_seconds)
            child.served += 1
            header = orjson.loads(answer)
            yield _value(header, result)
            if "retire" in header:
                return
        kept = True
    finally:
        if not kept:  # whatever else it had to say belongs to nobody
            _child = None
            child.process.kill()
            child.end()


def _request(questions: list[_Question], limits: Limits) -> bytes:
    header = orjson.dumps(
        {
            "limits": _as_header(limits),
            "now_ms": int(time.time() * 1000),
            "items": [(q.kind, q.expression, len(q.data), len(q.bindings)) for q in questions],
        }
    )
    body = b"".join(part for q in questions for part in (q.data, q.bindings))
    return _LENGTHS.pack(len(header), len(body)) + header + body


@lru_cache(maxsize=16)
def _as_header(limits: Limits) -> dict[str, int]:
    return {**asdict(limits), "grace_ms": GRACE_MS}


def _failure_of(signal_number: int, limits: Limits) -> EvaluationFailed:
    if signal_number == signal.SIGALRM:
        message = f"It took longer than {limits.time_ms} ms."
        return EvaluationFailed(message, reason="timed_out")
    if signal_number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGKILL):
        message = f"It needed more than {limits.memory_mib} MiB of memory."
        return EvaluationFailed(message, reason="out_of_memory")
    return EvaluationFailed("The evaluator broke.", reason="failed")


def _package_folders() -> list[str]:
    """Where the packages lie that the child imports."""
    specs = [importlib.util.find_spec(name) for name in ("jlens", "orjson")]
    return sorted({str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin})


def _forget_after_fork() -> None:
    """A forked process has no part in its parent's child, and must not keep its pipes open."""
    global _lock, _child
    _lock = threading.Lock()
    if _child is not None:
        _child.close()
        _child.process.returncode = 0  # not ours to wait for
        _child = None


os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(close)
