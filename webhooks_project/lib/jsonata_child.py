"""The process in which expressions are evaluated. Run as a script, spoken to over its pipes.

A request is two lengths (header, body), a JSON header and the raw JSON of every item one after the
other; each item is answered as soon as it is done by two lengths, a JSON header and the result's
raw JSON. Nothing here imports Django or any of our modules: it must be small, start quickly and
hold no secret. It ends when its standard input ends.
"""

from __future__ import annotations

import os
import re
import resource
import select
import signal
import struct
import sys
import time
from functools import lru_cache
from typing import Any, BinaryIO, Final, NamedTuple

# The parent says where the packages are: without `site` this starts in half the time.
sys.path[1:1] = sys.argv[1:]

import jlens  # noqa: E402
import orjson  # noqa: E402

LENGTHS: Final = struct.Struct("!II")
COMPILED_KEPT: Final = 256
EXACT_UP_TO: Final = 2**53  # beyond it a double no longer holds every integer
LIFETIME_CPU_SECONDS: Final = 3600
RETIRE_AFTER_CPU_SECONDS: Final = 1800
SLOW_SECONDS: Final = 0.02  # an evaluation this long may have left memory behind
MAX_ARRAY_ITEMS: Final = 100_000
MAX_CALLS: Final = 500  # nested calls within an expression
MESSAGE_LENGTH: Final = 300
PARENT: Final = os.getppid()
PARENT_CHECK_MS: Final = 2_000

_LONG_NUMBER = re.compile(rb"\d{16}")
_ASSIGNED = re.compile(r"\$(\w+)\s*:=")
_MENTIONED = re.compile(r"\$(\w+)(?!\w|\s*\()")
_MAY_BE_UNWRITABLE = re.compile(r"function|λ|[/%]|\$eval|[(,]\s*\?|\?\s*[,)]")

# The engine writes a function and a NaN as null, or leaves their keys out. A NaN is what it calls
# an object and what is not equal to itself.
_UNWRITABLE = '$type($)="function" or ($type($)="object" and $ != $)'

TOO_LARGE: Final = {"D2015", "D2016"}
TOO_DEEP: Final = {"D1011"}
WITHOUT_VALUES: Final = {  # the engine puts values in the middle of these
    "D3110": "$toMillis takes an ISO 8601 timestamp.",
    "D3130": "Integers cannot be formatted or parsed as a sequence that starts so.",
    "T2007": "Values of different types cannot be put in order.",
    "T2009": "Values of different types cannot be compared.",
}


class Failed(Exception):
    """An item has no result: a reason, a message and perhaps a position in the expression."""

    def __init__(self, reason: str, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.answer: dict[str, Any] = {"outcome": "failed", "reason": reason, "message": message}
        if position is not None:
            self.answer["position"] = position


# The functions that our own questions about a result call, and how they call them a binding of
# such a name: it would stand before the function.
_CALLED: Final = ("type", "exists")
_RENAMED: Final = "bound_"
_BOUND_NAME = re.compile(rf"\$({'|'.join(_CALLED)})\b")


class Compiled(NamedTuple):
    text: str
    expression: jlens.Expression
    type_of: jlens.Expression
    is_unwritable: jlens.Expression
    may_be_unwritable: bool
    free_names: frozenset[str]


@lru_cache(maxsize=COMPILED_KEPT)
def compile_expression(text: str, bound: frozenset[str] = frozenset()) -> Compiled:
    """`bound` are those of _CALLED that are bound. Raises JlensError."""
    free_names = frozenset(_MENTIONED.findall(text)) - set(_ASSIGNED.findall(text))
    asked = _BOUND_NAME.sub(lambda found: f"${_name_for(found[1], bound)}", text)
    return Compiled(
        text,
        jlens.Expression(text),
        # A line break before the closing bracket: the text may end in a regular expression.
        jlens.Expression(f"$type((\n{asked}\n))"),
        jlens.Expression(f"$exists((\n{asked}\n).**[{_UNWRITABLE}])"),
        _MAY_BE_UNWRITABLE.search(text) is not None,
        free_names,
    )


def _name_for(name: str, bound: frozenset[str]) -> str:
    return _RENAMED + name if name in bound else name


def evaluate(
    compiled: Compiled, raw: bytes, raw_bindings: bytes, limits: dict[str, Any], now_ms: int
) -> bytes | None:
    """The result's JSON; None where the expression gives nothing. Raises Failed, JlensError."""
    data, bindings = parse(raw, limits), parse(raw_bindings, limits) if raw_bindings else None
    started = time.perf_counter()
    seed = int.from_bytes(os.urandom(7), "big")

    bound = frozenset(_CALLED).intersection(bindings or ())
    asked = compile_expression(compiled.text, bound) if bound else compiled
    renamed = bindings and {_name_for(name, bound): value for name, value in bindings.items()}

    def run(expression: jlens.Expression, bindings: Any, array_items: int = MAX_ARRAY_ITEMS) -> Any:
        left = limits["time_ms"] / 1000 - (time.perf_counter() - started)
        options: dict[str, Any] = {
            "timeout": max(left, 0.001),
            "max_depth": MAX_CALLS,
            "max_string_length": limits["output_bytes"],
            "max_array_length": array_items,
            "max_result_size": limits["output_bytes"],
            "now": now_ms,
            "seed": seed,
        }
        if data is None:  # given as it is, it would mean that there is no document
            null = jlens.Document.from_json("null")
            return expression.evaluate_document(null, bindings, **options)
        return expression.evaluate(data, bindings, **options)

    value = run(compiled.expression, bindings)
    # A name that is neither bound nor assigned may be that of a function.
    if compiled.may_be_unwritable or not compiled.free_names <= (bindings or {}).keys():
        try:  # of all that the result holds, however much that is
            found = run(asked.is_unwritable, renamed, limits["output_bytes"])
        except jlens.JlensError as error:  # its position is not one in the expression
            raise Failed(reason_of(error), message_of(error)) from None
        if found:
            raise Failed("failed", "The result holds a function or a number that JSON has not.")
    if value is None and run(asked.type_of, renamed) is None:
        return None
    exact: dict[float, int | None] = {}
    for text, source in ((raw, data), (raw_bindings, bindings)):
        if _LONG_NUMBER.search(text):
            collect_long_integers(source, exact)
    return write(value, exact, limits)


def parse(raw: bytes, limits: dict[str, Any]) -> Any:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "depth limit" in str(error):
            raise too_deep("The data", limits["levels_in"]) from None
        raise Failed("failed", "The data is not valid JSON.") from None
    # As many brackets as levels are needed at least; counting them is far cheaper than a walk.
    if raw.count(b"[") + raw.count(b"{") > limits["levels_in"]:
        refuse_deeper_than(limits["levels_in"], value, "The data")
    return value


def write(value: Any, exact: dict[float, int | None], limits: dict[str, Any]) -> bytes:
    """The value as JSON. `exact` has the integers that were given and that no double holds."""
    try:
        if exact:
            refuse_deeper_than(limits["levels_out"], value, "The result")
            value = restore(value, exact)
        text = orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        refuse_deeper_than(limits["levels_out"], value, "The result")
        if "64-bit" not in str(error):
            raise Failed("failed", "The result cannot be written as JSON.") from None
        text = orjson.dumps(restore(value, exact))
    if len(text) > limits["output_bytes"]:
        raise Failed("too_large", f"The result is larger than {limits['output_bytes']} bytes.")
    if text.count(b"[") + text.count(b"{") > limits["levels_out"]:
        refuse_deeper_than(limits["levels_out"], value, "The result")
    if b"null" in text:
        refuse_infinite(value)
    return text


def children(values: list[Any]) -> list[Any]:
    """What the objects and arrays among the values hold, one level down."""
    inner: list[Any] = []
    for value in values:
        if type(value) is dict:
            inner.extend(value.values())
        elif type(value) is list:
            inner.extend(value)
    return inner


def too_deep(what: str, levels: int) -> Failed:
    return Failed("too_deep", f"{what} is nested deeper than {levels} levels.")


def refuse_deeper_than(levels: int, value: Any, what: str) -> None:
    found = [value]
    for _ in range(levels + 1):
        found = [inner for inner in found if type(inner) is dict or type(inner) is list]
        if not found:
            return
        found = children(found)
    raise too_deep(what, levels)


def refuse_infinite(value: Any) -> None:
    found = [value]
    while found:
        if any(type(inner) is float and inner - inner != 0 for inner in found):
            raise Failed("failed", "The result holds a number that JSON cannot.")
        found = children(found)


def collect_long_integers(value: Any, exact: dict[float, int | None]) -> None:
    """Note each long integer under the double that stands for it; None for two under one."""
    found = [value]
    while found:
        for inner in found:
            if type(inner) is int and not -EXACT_UP_TO <= inner <= EXACT_UP_TO:
                double = float(inner)
                exact[double] = inner if exact.get(double, inner) == inner else None
        found = children(found)


def restore(value: Any, exact: dict[float, int | None]) -> Any:
    """The value with the long integers it was given, not the doubles they were evaluated as."""
    kind = type(value)
    if kind is dict:
        return {name: restore(inner, exact) for name, inner in value.items()}
    if kind is list:
        return [restore(inner, exact) for inner in value]
    if (kind is int or kind is float) and not -EXACT_UP_TO < value < EXACT_UP_TO:
        whole = exact.get(float(value), value)
        if whole is None:
            raise Failed("failed", "Two long integers in the data are one as double numbers.")
        return whole if kind is float or -(2**63) <= whole < 2**64 else float(whole)
    return value


def reason_of(error: jlens.JlensError) -> str:
    if error.code == "D1012":
        return "timed_out"
    if error.code in TOO_DEEP or (error.code == "U1001" and "nested" in str(error)):
        return "too_deep"
    if error.code in TOO_LARGE or error.code == "U1001":
        return "too_large"
    return "failed"


def message_of(error: jlens.JlensError) -> str:
    """The engine's message without the values it is about, which may be anybody's."""
    text = str(error)
    if error.code in WITHOUT_VALUES:
        text = WITHOUT_VALUES[error.code]
    elif error.value is not None:
        text = text.split(": ", 1)[0]
    return "".join(c if c.isprintable() else " " for c in text[:MESSAGE_LENGTH])


def answer_of(item: list[Any], raw: bytes, raw_bindings: bytes, header: Any) -> tuple[Any, bytes]:
    kind, text = item[0], item[1]
    try:
        compiled = compile_expression(text)
    except jlens.JlensError as error:
        reason = "syntax" if reason_of(error) == "failed" else reason_of(error)
        refusal = {"outcome": "refused", "reason": reason, "message": message_of(error)}
        return refusal | {"position": error.position}, b""
    if kind == "check":
        return {"outcome": "checked"}, b""
    try:
        result = evaluate(compiled, raw, raw_bindings, header["limits"], header["now_ms"])
    except Failed as failure:
        return failure.answer, b""
    except jlens.JlensError as error:
        return Failed(reason_of(error), message_of(error), error.position).answer, b""
    except (MemoryError, RecursionError):
        return Failed("out_of_memory", "It needed too much memory.").answer | {"retire": True}, b""
    except BaseException as error:  # a panic of the engine is no Exception
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise
        return Failed("failed", "The evaluator broke.").answer | {"retire": True}, b""
    if result is None:
        return {"outcome": "nothing"}, b""
    return {"outcome": "value"}, result


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    compile_expression("1").expression.evaluate({})  # what every evaluation needs is not counted
    base = address_space()
    memory_mib = 0
    while wait_for_request(requests.fileno()) and (lengths := requests.read(LENGTHS.size)):
        header_length, body_length = LENGTHS.unpack(lengths)
        header = orjson.loads(requests.read(header_length))
        body = memoryview(requests.read(body_length))
        limits = header["limits"]
        if limits["memory_mib"] != memory_mib:
            memory_mib = limits["memory_mib"]
            allowed = base + memory_mib * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (allowed, resource.RLIM_INFINITY))
        position = 0
        for item in header["items"]:
            middle, end = position + item[2], position + item[2] + item[3]
            raw, raw_bindings = bytes(body[position:middle]), bytes(body[middle:end])
            position = end
            started = time.perf_counter()
            # The engine looks at the clock, but not everywhere. The signal's default is to end
            # this process, wherever it is.
            signal.setitimer(signal.ITIMER_REAL, (limits["time_ms"] + limits["grace_ms"]) / 1000)
            answer, result = answer_of(item, raw, raw_bindings, header)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if time.perf_counter() - started > SLOW_SECONDS and is_worn(base, memory_mib):
                answer["retire"] = True
            written = orjson.dumps(answer)
            answers.write(LENGTHS.pack(len(written), len(result)) + written + result)
            answers.flush()
            if "retire" in answer:
                return


def wait_for_request(descriptor: int) -> bool:
    """False where the parent is gone. A process forked from it may hold the pipe open still."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not poll.poll(PARENT_CHECK_MS):
        if os.getppid() != PARENT:
            return False
    return True


def is_worn(base: int, memory_mib: int) -> bool:
    """Whether too little of the memory is left for the next, or of the process's CPU time."""
    return (
        address_space() - base > memory_mib * 2**19
        or time.process_time() > RETIRE_AFTER_CPU_SECONDS
    )


def address_space() -> int:
    """Bytes of this process's address space; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # they are for the parent; it ends this one
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (LIFETIME_CPU_SECONDS, LIFETIME_CPU_SECONDS))
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    answers.write(LENGTHS.pack(0, 0))  # it has started
    answers.flush()
    serve(requests, answers)


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, struct.error):
        os._exit(0)  # the parent is gone
    os._exit(0)  # nothing to tidy, and quicker
