from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import time_machine

from webhooks_project.lib import jsonata
from webhooks_project.lib.jsonata import (
    EXPRESSION_LENGTH,
    LIMITS,
    NOTHING,
    EvaluationFailed,
    ExpressionNotAcceptable,
    Limits,
    check_expression,
    evaluate,
    evaluate_many,
)

ROOT = Path(__file__).resolve().parents[2]
PATIENT = Limits(time_ms=5_000)  # for what is bounded by something other than time

ORDER: dict[str, Any] = {
    "id": "ord_1",
    "currency": "eur",
    "customer": {"name": "Zoë", "email": None},
    "items": [
        {"sku": "A", "price": 2.5, "qty": 4},
        {"sku": "B", "price": 10, "qty": 1},
    ],
}


@pytest.fixture(autouse=True)
def ends_the_child() -> Iterator[None]:
    yield
    jsonata.close()


def child() -> psutil.Process:
    assert jsonata._child is not None
    return psutil.Process(jsonata._child.process.pid)


def failure_of(expression: str, data: Any = None, limits: Limits = LIMITS) -> EvaluationFailed:
    with pytest.raises(EvaluationFailed) as caught:
        evaluate(expression, data, limits=limits)
    assert caught.value.reason in jsonata.FAILURES
    assert caught.value.extra == {
        "reason": caught.value.reason,
        "position": caught.value.position,
    }
    return caught.value


# -- what expressions give ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("id", "ord_1"),
        ("customer.name", "Zoë"),
        ("items.sku", ["A", "B"]),
        ("items[price > 5].sku", "B"),
        ("items[0].price", 2.5),
        ("$sum(items.(price * qty))", 20),
        ("items{sku: qty}", {"A": 4, "B": 1}),
        ('{"order": id, "lines": $count(items)}', {"order": "ord_1", "lines": 2}),
        ('currency = "eur" ? "€" : currency', "€"),
        ("$map(items, function($i) { $i.sku & $string($i.qty) })", ["A4", "B1"]),
        ("items^(>price).sku", ["B", "A"]),
        ("$uppercase(customer.name)", "ZOË"),
        ('($ ~> |customer|{"email": null}|).customer', {"name": "Zoë", "email": None}),
        ("($rate := 1.2; $round(items[0].price * $rate, 2))", 3),
        ("$match(id, /ord_([0-9]+)/).groups[0]", "1"),
        ("$merge([customer, {'n': 1}])", {"name": "Zoë", "email": None, "n": 1}),
        ('"😀" & $substring("a😀b", 1, 1)', "😀😀"),
        ("$eval('1 + 2')", 3),
        ("[]", []),
        ("/* why */ 1", 1),
        ("true", True),
    ],
)
def test_evaluates(expression: str, expected: Any) -> None:
    assert evaluate(expression, ORDER) == expected


def test_gives_back_what_it_was_given() -> None:
    assert evaluate("$", ORDER) == ORDER


@pytest.mark.parametrize("data", [None, True, 0, -1.5, "", "ü", [], [None], {}, {"a": None}])
def test_takes_any_json_value(data: Any) -> None:
    assert evaluate("$", data) == data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_takes_raw_json(kind: type) -> None:
    assert evaluate("a.b", kind(b' {"a": {"b": "\xc3\xbc"}} ')) == "ü"


def test_a_large_result_is_looked_through() -> None:
    expression = "$map([1..60000], function($n) { [[$n % 7]] })"

    assert evaluate(expression, None, limits=PATIENT)[:2] == [[[1]], [[2]]]


def test_nothing_is_not_null() -> None:
    assert evaluate("absent", ORDER) is NOTHING
    assert evaluate("customer.email", ORDER) is None
    assert evaluate("null", ORDER) is None
    assert evaluate("absent", None) is NOTHING
    assert evaluate("$", None) is None
    assert not NOTHING
    assert repr(NOTHING) == "NOTHING"


def test_binds_names() -> None:
    assert evaluate("$event.type & id", {"id": 1}, {"event": {"type": "t"}}) == "t1"
    assert evaluate("$event", {"id": 1}) is NOTHING


def test_the_clock_is_the_callers() -> None:
    with time_machine.travel("2020-01-02T03:04:05.678Z", tick=False):
        assert evaluate("[$now(), $millis()]", None) == ["2020-01-02T03:04:05.678Z", 1577934245678]


def test_random_numbers_differ_between_evaluations() -> None:
    first, second = evaluate_many([("$random()", None, None)] * 2)

    assert first != second
    assert 0 <= first < 1


@pytest.mark.parametrize(
    "number", [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 12345678901234567]
)
def test_long_integers_are_copied_exactly(number: int) -> None:
    assert evaluate('{"id": $.id, "all": [[id]]}', {"id": number}) == {
        "id": number,
        "all": [[number]],
    }
    assert evaluate("$n", None, {"n": number}) == number


def test_integers_beyond_64_bits_become_doubles() -> None:
    assert evaluate("a", b'{"a": 123456789012345678901234}') == 1.2345678901234568e23
    assert evaluate("$power(10, 30)", None) == 1e30


def test_refuses_to_guess_between_two_long_integers() -> None:
    data = {"a": 2**60, "b": 2**60 + 1, "c": 2**55 + 1}

    assert evaluate("c", data) == 2**55 + 1
    assert failure_of("a", data).reason == "failed"


# -- what is no expression ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("", "syntax", 0),
        ("   ", "syntax", 3),
        ("foo(", "syntax", 4),
        ('"ü" ++ 1', "syntax", 6),
        ("[1, 2", "syntax", 5),
        ("a\ud800", "syntax", 1),
        ("1) + (2", "syntax", 2),
        ("(" * 2000 + "1" + ")" * 2000, "too_deep", 1001),
        ("x" * (EXPRESSION_LENGTH + 1), "too_long", None),
    ],
)
def test_refuses_what_is_no_expression(text: str, reason: str, position: int | None) -> None:
    for call in (lambda: check_expression(text), lambda: evaluate(text, {})):
        with pytest.raises(ExpressionNotAcceptable) as caught:
            call()
        assert (caught.value.reason, caught.value.position) == (reason, position)
        assert caught.value.extra == {"reason": reason, "position": position}
        assert str(caught.value)


def test_accepts_an_expression_without_evaluating_it() -> None:
    assert check_expression("($f := function($x) { $f($x) }; $f(1))") is None
    assert check_expression("x" * EXPRESSION_LENGTH) is None


# -- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "($f := function($x) { $f($x + 1) }; $f(1))",
        '$match("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", /^(a+)+$/)',
        '$toMillis($pad("1", 50000, "1"), "[f1][f1][f1][f1][f1][f1]Z")',
        "$distinct([1..90000])",  # the engine does not look at its clock here
    ],
)
def test_ends_what_takes_too_long(expression: str) -> None:
    check_expression("1")
    started = time.monotonic()

    assert failure_of(expression).reason == "timed_out"
    assert time.monotonic() - started < 1.5
    assert evaluate("1 + 1", None) == 2


@pytest.mark.parametrize(
    "expression",
    [
        '$split($pad("x", 99000, "x"), "").[1..90000]',
        "($a := [1..99999]; $map([1..90000], function($x) { $append($a, $x) }))",
        '$count($map([1..90000], function($x) { $pad("y" & $x, 100000) }))',
    ],
)
def test_ends_what_takes_too_much_memory(expression: str) -> None:
    assert failure_of(expression, limits=PATIENT).reason == "out_of_memory"
    assert evaluate("1 + 1", None) == 2


def test_memory_is_what_the_limits_say() -> None:
    expression = "$count([1..90000].{'a': $, 'b': [$]})"

    assert failure_of(expression, limits=Limits(5_000, memory_mib=8)).reason == "out_of_memory"
    assert evaluate(expression, None, limits=PATIENT) == 90_000


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def test_bounds_the_depth_of_the_data() -> None:
    assert evaluate("1", nested(256)) == 1
    assert failure_of("1", nested(257)).reason == "too_deep"
    assert failure_of("1", nested(100_000)).reason == "too_deep"
    assert evaluate("1", b"[" + b"[]," * 1000 + b'"[[["]') == 1


def test_bounds_the_depth_of_python_data() -> None:
    data: Any = 1
    for _ in range(100_000):
        data = [data]

    assert failure_of("1", data).reason == "too_deep"


def wrapped(levels: int) -> str:
    return f"$reduce([1..{levels}], function($inner, $n) {{ {{'x': $inner}} }}, 1)"


def test_bounds_the_depth_of_the_result() -> None:
    assert evaluate("[" * 128 + "]" * 128, None) != NOTHING
    assert failure_of("[" * 129 + "]" * 129).reason == "too_deep"
    assert failure_of(wrapped(500)).reason == "too_deep"
    assert failure_of(wrapped(5_000), limits=PATIENT).reason == "too_deep"


def test_bounds_nested_calls() -> None:
    failure = failure_of("($f := function($x) { 1 + $f($x + 1) }; $f(1))")

    assert failure.reason == "too_deep"


def test_bounds_the_size_of_the_result() -> None:
    small = Limits(output_bytes=100)

    assert evaluate('$pad("", 98, "x")', None, limits=small) == "x" * 98
    assert failure_of('$pad("", 99, "x")', limits=small).reason == "too_large"
    assert failure_of('$pad("x", 900000) & $pad("y", 900000)').reason == "too_large"
    assert failure_of('$pad("x", 1000000000)').reason == "too_large"
    assert failure_of("[1..10000000]", limits=PATIENT).reason in ("too_large", "out_of_memory")


def test_a_result_that_shares_its_parts_does_not_explode() -> None:
    expression = "$reduce([1..60], function($a, $b) { {'x': $a, 'y': $a} }, 1)"

    assert failure_of(expression, limits=PATIENT).reason == "too_large"


def test_bounds_the_size_of_the_data() -> None:
    small = Limits(input_bytes=10)

    assert evaluate("$", "x" * 8, limits=small) == "x" * 8
    assert failure_of("$", "x" * 9, limits=small).reason == "too_large"


@pytest.mark.parametrize(
    "expression",
    [
        "$sum",
        "[$sum]",
        "{'f': $sum, 'n': 1}",
        "[[[$uppercase]]]",
        "function($x) { $x }",
        "λ($x) { $x }",
        "{'f': λ($x) { $x }}",
        "$substring(?, 1)",
        "[$substring(?, 1)]",
        "[$trim ~> $uppercase]",
        "[$eval('$sum')]",
        "1e308 * 10",
        "$sum([1e308, 1e308])",
        "1 / 0",
        "0 / 0",
        "{'x': [[5 % 0]]}",
        '$number("Infinity")',
    ],
)
def test_refuses_a_result_that_json_cannot_hold(expression: str) -> None:
    assert failure_of(expression).reason == "failed"


@pytest.mark.parametrize("data", [b"", b"{", b"NaN", b'"\xff"', b'"\\ud800"', b"{} {}"])
def test_refuses_bytes_that_are_no_json(data: bytes) -> None:
    assert failure_of("1", data).reason == "failed"


@pytest.mark.parametrize("data", [{1, 2}, {"a": object()}, 2**64, "\ud800", {1: 2}])
def test_refuses_values_that_are_no_json(data: Any) -> None:
    assert failure_of("1", data).reason == "failed"


@pytest.mark.parametrize(
    "expression",
    [
        "$number(s)",
        "-s",
        "s + 1",
        "$toMillis(s)",
        "s < 1",
        "[s, 1]^($)",
        "$formatInteger(1, $substring(s, 0, 6))",
        "$ ~> |$|s|",
        "s(1)",
        "$now(1, s)",
    ],
)
def test_messages_hold_nothing_of_the_data(expression: str) -> None:
    failure = failure_of(expression, {"s": "secret-4111"})

    assert failure.reason == "failed"
    assert "secret" not in str(failure)
    assert str(failure)


def test_an_expression_may_fail_in_its_own_words() -> None:
    failure = failure_of('$error("no such order\n" & id)', {"id": "ord_1"})

    assert (str(failure), failure.reason, failure.position) == ("no such order ord_1", "failed", 7)


# -- many -----------------------------------------------------------------------------------------


def test_each_item_of_many_has_its_own_end() -> None:
    results = evaluate_many(
        [
            ("a", {"a": 1}, None),
            ("$distinct([1..90000])", None, None),
            ("a", b'{"a": 2}', None),
            ("a(", {}, None),
            ("$x", {}, {"x": 3}),
            ("absent", {}, None),
            ("$sum", {}, None),
            ("a", {1, 2}, None),
            ("a", None, None),
            ("$", None, None),
        ]
    )

    shown = [result.reason if hasattr(result, "reason") else result for result in results]
    assert shown == [1, "timed_out", 2, "syntax", 3, NOTHING, "failed", "failed", NOTHING, None]
    assert isinstance(results[3], ExpressionNotAcceptable)


def test_many_more_than_one_request_holds() -> None:
    items = [("$.n", {"n": n}, None) for n in range(200)]

    assert evaluate_many(items) == list(range(200))


def test_large_items_go_out_in_several_requests() -> None:
    text = "x" * 3_000_000

    assert evaluate_many([("$length($)", text, None)] * 5, PATIENT) == [3_000_000] * 5


def test_none_of_many() -> None:
    assert evaluate_many([]) == []
    assert jsonata._child is None


# -- the child ------------------------------------------------------------------------------------


def test_keeps_one_child() -> None:
    evaluate("1", None)
    first = child().pid
    failure_of("$sum")
    evaluate("2", None)

    assert child().pid == first


def test_the_child_knows_nothing_of_its_parents_environment(monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET_KEY", "do not tell")
    evaluate("1", None)

    assert child().environ() == {"MIMALLOC_ARENA_RESERVE": "16384"}
    assert child().cwd() == "/"
    assert [file.path for file in child().open_files()] == []


def test_the_child_is_small_and_has_no_django() -> None:
    evaluate("1", None)

    assert child().memory_full_info().pss < 32 * 2**20
    assert not [m.path for m in child().memory_maps() if "_ssl" in m.path or "sqlite" in m.path]


def test_works_on_after_the_child_was_killed_in_between() -> None:
    evaluate("1", None)
    killed = child()
    killed.kill()

    assert evaluate("1 + 1", None) == 2
    assert child().pid != killed.pid
    assert not psutil.pid_exists(killed.pid)


def test_asks_again_when_the_child_was_killed_at_work() -> None:
    evaluate("1", None)
    first = child()
    timer = threading.Timer(0.2, first.kill)
    timer.start()
    slow = "$count($filter([1..60000], function($v) { $v % 2 = 0 }))"

    assert evaluate_many([(slow, None, None)] * 20, PATIENT) == [30_000] * 20
    timer.join()
    assert child().pid != first.pid


def test_a_child_that_is_stopped_is_given_up(monkeypatch: Any) -> None:
    monkeypatch.setattr(jsonata, "SILENCE_MS", 300)
    evaluate("1", None)
    stopped = child()
    stopped.send_signal(signal.SIGSTOP)

    assert failure_of("1").reason == "timed_out"
    assert not psutil.pid_exists(stopped.pid)
    assert evaluate("1", None) == 1


def test_says_so_when_no_child_can_start(monkeypatch: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(1)")
    monkeypatch.setattr(jsonata, "_CHILD", broken)

    with pytest.raises(jsonata.EvaluatorNotStarted):
        evaluate("1", None)
    assert jsonata._child is None


def test_an_interrupted_question_does_not_answer_the_next() -> None:
    evaluate("1", None)

    def interrupt(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(TimeoutError):
            evaluate("($f := function($x) { $f($x + 1) }; $f(1))", None, limits=PATIENT)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)

    assert evaluate("2", None) == 2


def test_many_threads_share_it() -> None:
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda n: evaluate("{'n': $.n * 2}", {"n": n}), range(400)))

    assert results == [{"n": 2 * n} for n in range(400)]
    # Not those of other tests in this process, such as the tracker of multiprocessing.
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children()]
    assert len([command for command in commands if "jsonata_child.py" in command]) == 1


def test_leaks_no_descriptors() -> None:
    evaluate("1", None)
    before = psutil.Process().num_fds()
    for _ in range(5):
        child().kill()
        evaluate("1", None)
        jsonata.close()
        evaluate("1", None)

    assert psutil.Process().num_fds() == before


def test_ignores_the_signals_that_are_meant_for_its_parent() -> None:
    evaluate("1", None)
    pid = child().pid
    child().send_signal(signal.SIGINT)
    child().terminate()

    assert evaluate("1", None) == 1
    assert child().pid == pid


def run(script: str) -> str:
    completed = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert completed.stderr == ""
    return completed.stdout


IMPORTS = "import os, signal, sys, time; from webhooks_project.lib import jsonata as j\n"


def test_a_forked_process_has_a_child_of_its_own() -> None:
    script = IMPORTS + (
        "assert j.evaluate('1', None) == 1\n"
        "mine = j._child.process.pid\n"
        "if os.fork() == 0:\n"
        "    assert j._child is None\n"
        "    assert j.evaluate('2', None) == 2\n"
        "    assert j._child.process.pid != mine\n"
        "    j.close(); os._exit(7)\n"
        "_, status = os.wait()\n"
        "assert os.waitstatus_to_exitcode(status) == 7, status\n"
        "assert j.evaluate('3', None) == 3 and j._child.process.pid == mine\n"
        "print('whole')\n"
    )

    assert run(script) == "whole\n"


def wait_until_gone(pid: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "the child outlived its parent"
        time.sleep(0.02)


@pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)", "pass"])
def test_ends_with_its_parent(ending: str) -> None:
    printed = run(
        IMPORTS + f"j.evaluate('1', None); print(j._child.process.pid, flush=True)\n{ending}\n"
    )

    wait_until_gone(int(printed), 3)


def test_ends_with_its_parent_in_the_middle_of_an_evaluation() -> None:
    printed = run(
        IMPORTS
        + "import threading\n"
        + "j.evaluate('1', None); print(j._child.process.pid, flush=True)\n"
        + "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
        + "j.evaluate('$distinct([1..90000])', None)\n"
    )

    wait_until_gone(int(printed), 3)


@pytest.mark.parametrize("fork", ["os.fork()", "__import__('ctypes').CDLL(None).fork()"])
def test_ends_with_its_parent_though_a_fork_of_it_lives_on(fork: str) -> None:
    printed = run(
        IMPORTS
        + "j.evaluate('1', None)\n"
        + f"fork = {fork}\n"
        + "if fork == 0:\n"
        + "    [os.close(n) for n in (1, 2)]; time.sleep(20); os._exit(0)\n"
        + "print(j._child.process.pid, fork, flush=True)\n"
        + "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    child_pid, fork_pid = map(int, printed.split())

    try:
        wait_until_gone(child_pid, 6)
        assert psutil.pid_exists(fork_pid)
    finally:
        os.kill(fork_pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("absent", NOTHING),
        ("null", None),
        ("$type", "push"),
        ('$type & "/" & $exists', "push/yes"),
        ("$type[0 / 1]", "push"),
        ("$absent", NOTHING),
    ],
)
def test_a_binding_may_have_the_name_of_a_function(expression: str, result: Any) -> None:
    assert evaluate(expression, {}, {"type": "push", "exists": "yes"}) == result
