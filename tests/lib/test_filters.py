from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_project.lib.filters import (
    CLAUSES,
    FILTER_BYTES,
    LEVELS,
    LIST_ITEMS,
    REGEX_TEXT_LENGTH,
    Clause,
    FilterNotAcceptable,
    compile_filter,
    values_at,
)

DOCUMENT: dict[str, Any] = {
    "type": "invoice.paid",
    "channels": ["eu", "vip"],
    "headers": {"x-region": "eu-west-1"},
    "data": {
        "amount": 150,
        "rate": 1.0,
        "currency": "eur",
        "live": True,
        "note": None,
        "empty": [],
        "a.b": {"$c": 1, "d\\e": 2},
        "items": [{"sku": "A1", "price": 5}, {"sku": "B2", "price": 50}, "loose"],
        "grid": [[1, 2], [3, 4]],
        "tags": {"0": "zero"},
    },
}


def matches(document: Any, subject: Any = DOCUMENT) -> bool:
    return compile_filter(document).matches(subject)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        # a bare value, and equality
        ({"type": "invoice.paid"}, True),
        ({"type": "invoice"}, False),
        ({"data.amount": 150.0}, True),
        ({"data.rate": 1}, True),
        ({"data.rate": True}, False),
        ({"data.live": True}, True),
        ({"data.live": 1}, False),
        ({"data.live": {"$ne": 1}}, True),
        ({"data.amount": "150"}, False),
        ({"data.note": None}, True),
        ({"data.absent": None}, False),
        ({"data.empty": []}, True),
        ({"channels": ["eu", "vip"]}, True),
        ({"channels": ["vip", "eu"]}, False),
        ({"data.tags": {"$eq": {"0": "zero"}}}, True),
        ({"data.tags": {"$eq": {"0": "zero", "1": "one"}}}, False),
        ({}, True),
        # comparisons, within one type only
        ({"data.amount": {"$gte": 150}}, True),
        ({"data.amount": {"$gt": 150}}, False),
        ({"data.amount": {"$gt": 149.9}}, True),
        ({"data.amount": {"$lte": 150}}, True),
        ({"data.amount": {"$lt": 150}}, False),
        ({"data.amount": {"$gte": 100, "$lt": 150}}, False),
        ({"data.amount": {"$gte": "100"}}, False),
        ({"data.currency": {"$gt": "eu"}}, True),
        ({"data.currency": {"$lt": "eur"}}, False),
        ({"data.currency": {"$lte": "eur"}}, True),
        ({"data.currency": {"$gte": 1}}, False),
        ({"data.live": {"$gte": 1}}, False),
        ({"data.live": {"$lte": 1}}, False),
        ({"data.note": {"$lte": 0}}, False),
        # lists
        ({"data.currency": {"$in": ["usd", "eur"]}}, True),
        ({"data.currency": {"$in": []}}, False),
        ({"data.currency": {"$nin": []}}, True),
        ({"data.amount": {"$in": [150.0]}}, True),
        ({"data.live": {"$in": [1]}}, False),
        ({"data.live": {"$in": [True]}}, True),
        ({"data.rate": {"$in": [True]}}, False),
        ({"data.note": {"$in": [None]}}, True),
        ({"data.currency": {"$nin": ["eur"]}}, False),
        ({"channels": {"$in": [["eu", "vip"]]}}, True),
        # strings
        ({"data.currency": {"$startsWith": "eu"}}, True),
        ({"data.currency": {"$startsWith": "ur"}}, False),
        ({"data.currency": {"$endsWith": "ur"}}, True),
        ({"data.currency": {"$endsWith": "eu"}}, False),
        ({"data.amount": {"$startsWith": "1"}}, False),
        ({"headers.x-region": {"$regex": "^eu-[a-z]+-[0-9]$"}}, True),
        ({"headers.x-region": {"$regex": "WEST"}}, False),
        ({"headers.x-region": {"$regex": "(?i)WEST"}}, True),
        ({"data.amount": {"$regex": "1"}}, False),
        # an absent path
        ({"data.absent": {"$eq": 1}}, False),
        ({"data.absent": {"$ne": 1}}, True),
        ({"data.absent": {"$gt": 1}}, False),
        ({"data.absent": {"$gte": 1}}, False),
        ({"data.absent": {"$lt": 1}}, False),
        ({"data.absent": {"$lte": 1}}, False),
        ({"data.absent": {"$in": [None]}}, False),
        ({"data.absent": {"$nin": [1]}}, True),
        ({"data.absent": {"$exists": True}}, False),
        ({"data.absent": {"$exists": False}}, True),
        ({"data.absent": {"$regex": ""}}, False),
        ({"data.absent": {"$startsWith": ""}}, False),
        ({"data.absent": {"$endsWith": ""}}, False),
        ({"data.amount.deeper": {"$exists": True}}, False),
        ({"data.note.deeper": {"$exists": False}}, True),
        ({"data.note": {"$exists": True}}, True),
        ({"data.note": {"$exists": False}}, False),
        ({"data.empty": {"$exists": True}}, True),
        ({"data.empty": {"$exists": False}}, False),
        # arrays: any element, and for $ne and $nin none
        ({"channels": "vip"}, True),
        ({"channels": {"$ne": "vip"}}, False),
        ({"channels": {"$ne": "us"}}, True),
        ({"channels": {"$nin": ["us", "eu"]}}, False),
        ({"data.empty": {"$ne": 1}}, True),
        ({"data.items.sku": "B2"}, True),
        ({"data.items.sku": {"$ne": "B2"}}, False),
        ({"data.items.sku": {"$ne": "C3"}}, True),
        ({"data.items.price": {"$gt": 49}}, True),
        ({"data.items.price": {"$gt": 50}}, False),
        ({"data.items.absent": {"$exists": True}}, False),
        ({"data.items.0.sku": "A1"}, True),
        ({"data.items.1.sku": "A1"}, False),
        ({"data.items.2": "loose"}, True),
        ({"data.items.3": {"$exists": True}}, False),
        ({"data.items.00.sku": "A1"}, False),
        ({"data.items.99999999999999999999": {"$exists": True}}, False),
        ({"data.grid.1.0": 3}, True),
        ({"data.grid": {"$eq": [3, 4]}}, True),
        ({"data.grid": 3}, False),
        ({"data.grid.1": 3}, True),
        ({"data.tags.0": "zero"}, True),
        # dots, dollars and backslashes in names
        ({"data.a\\.b.\\$c": 1}, True),
        ({"data.a\\.b.d\\\\e": 2}, True),
        ({"data.a.b": {"$exists": True}}, False),
        ({"\\$x": {"$exists": False}}, True),
        # and, or, not
        ({"type": "invoice.paid", "data.amount": {"$gte": 200}}, False),
        ({"$or": [{"type": "x"}, {"data.amount": 150}]}, True),
        ({"$or": [{"type": "x"}, {"data.amount": 1}]}, False),
        ({"$and": [{"type": "invoice.paid"}, {"data.amount": 150}]}, True),
        ({"$and": [{"type": "invoice.paid"}, {"data.amount": 1}]}, False),
        ({"$not": {"type": "x"}}, True),
        ({"$not": {"type": "invoice.paid"}}, False),
        ({"type": "invoice.paid", "$or": [{"type": "x"}]}, False),
        ({"data.amount": {"$not": {"$gte": 100}}}, False),
        ({"data.absent": {"$not": {"$gte": 100}}}, True),
        ({"data.amount": {"$or": [{"$lt": 10}, {"$gt": 100}]}}, True),
        ({"data.amount": {"$or": [1, 150]}}, True),
        ({"data.amount": {"$and": [{"$gt": 10}, {"$lt": 100}]}}, False),
    ],
    ids=lambda value: orjson.dumps(value).decode()[:60],
)
def test_matches(asked: dict[str, Any], expected: bool) -> None:
    assert matches(asked) is expected


@pytest.mark.parametrize(
    ("asked", "reason", "path"),
    [
        ([], "not_an_object", ""),
        (None, "not_an_object", ""),
        ("x", "not_an_object", ""),
        ({"a": {1, 2}}, "not_json", ""),
        ({"a": "\ud800"}, "not_json", ""),
        ({1: "a"}, "not_json", ""),
        ({"$nor": []}, "unknown_operator", "/$nor"),
        ({"$gte": 1}, "unknown_operator", "/$gte"),
        ({"a": {"$like": "x"}}, "unknown_operator", "/a/$like"),
        ({"a": {"b": 1}}, "unknown_operator", "/a/b"),
        ({"a/b~": {"$like": "x"}}, "unknown_operator", "/a~1b~0/$like"),
        ({"$or": [{"a": 1}, {"b": {"$x": 1}}]}, "unknown_operator", "/$or/1/b/$x"),
        ({"": 1}, "bad_path", "/"),
        ({"a..b": 1}, "bad_path", "/a..b"),
        ({"a.": 1}, "bad_path", "/a."),
        ({"a\\": 1}, "bad_path", "/a\\"),
        ({"a\\n": 1}, "bad_path", "/a\\n"),
        ({"a" * 257: 1}, "path_too_long", "/" + "a" * 257),
        ({"a." * 32 + "a": 1}, "path_too_long", "/" + "a." * 32 + "a"),
        ({"a": {}}, "wrong_operand", "/a"),
        ({"$or": []}, "wrong_operand", "/$or"),
        ({"$and": {"a": 1}}, "wrong_operand", "/$and"),
        ({"$and": [1]}, "wrong_operand", "/$and/0"),
        ({"$not": [{"a": 1}]}, "wrong_operand", "/$not"),
        ({"a": {"$or": 1}}, "wrong_operand", "/a/$or"),
        ({"a": {"$gt": None}}, "wrong_operand", "/a/$gt"),
        ({"a": {"$gte": True}}, "wrong_operand", "/a/$gte"),
        ({"a": {"$lt": [1]}}, "wrong_operand", "/a/$lt"),
        ({"a": {"$lte": {"b": 1}}}, "wrong_operand", "/a/$lte"),
        ({"a": {"$in": "eur"}}, "wrong_operand", "/a/$in"),
        ({"a": {"$nin": {"b": 1}}}, "wrong_operand", "/a/$nin"),
        ({"a": {"$in": [0] * 501}}, "wrong_operand", "/a/$in"),
        ({"a": {"$exists": 1}}, "wrong_operand", "/a/$exists"),
        ({"a": {"$exists": None}}, "wrong_operand", "/a/$exists"),
        ({"a": {"$startsWith": 1}}, "wrong_operand", "/a/$startsWith"),
        ({"a": {"$endsWith": ["x"]}}, "wrong_operand", "/a/$endsWith"),
        ({"a": {"$regex": 1}}, "wrong_operand", "/a/$regex"),
        ({"a": {"$regex": "("}}, "bad_regex", "/a/$regex"),
        ({"a": {"$regex": "(a)\\1"}}, "bad_regex", "/a/$regex"),
        ({"a": {"$regex": "(?=a)"}}, "bad_regex", "/a/$regex"),
        ({"a": {"$regex": "a{1,1000}" * 50}}, "bad_regex", "/a/$regex"),
        ({"a": {"$regex": "(.{1,100}a){1,20}"}}, "bad_regex", "/a/$regex"),
        ({"a": {"$regex": "a" * 501}}, "regex_too_long", "/a/$regex"),
        ({"a": {"$in": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}}, "too_deep", "/a/$in"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_refuses(asked: object, reason: str, path: str) -> None:
    with pytest.raises(FilterNotAcceptable) as caught:
        compile_filter(asked)

    assert (caught.value.reason, caught.value.path) == (reason, path)
    assert caught.value.extra == {"reason": reason, "path": path}
    assert str(caught.value).endswith((".", "$not.", "dot."))


def nested(operator: str, levels: int) -> dict[str, Any]:
    document: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        document = {"$not": document} if operator == "$not" else {operator: [document]}
    return document


@pytest.mark.parametrize("operator", ["$and", "$or", "$not"])
def test_refuses_what_is_nested_too_deeply(operator: str) -> None:
    assert matches(nested(operator, LEVELS), {"a": 1}) is True

    with pytest.raises(FilterNotAcceptable) as caught:
        compile_filter(nested(operator, LEVELS + 1))

    assert caught.value.reason == "too_deep"


def test_refuses_what_would_exhaust_the_stack() -> None:
    with pytest.raises(FilterNotAcceptable) as caught:
        compile_filter(nested("$not", 50_000))

    assert caught.value.reason == "too_deep"


def test_refuses_too_many_clauses() -> None:
    assert matches({str(n): {"$exists": False} for n in range(CLAUSES)}) is True

    with pytest.raises(FilterNotAcceptable) as caught:
        compile_filter({str(n): 1 for n in range(CLAUSES + 1)})

    assert (caught.value.reason, caught.value.path) == ("too_many_clauses", "/100")


def test_refuses_a_document_that_is_too_large() -> None:
    overhead = len(b'{"a":""}')
    assert matches({"a": "x" * (FILTER_BYTES - overhead)}) is False

    with pytest.raises(FilterNotAcceptable) as caught:
        compile_filter({"a": "x" * (FILTER_BYTES - overhead + 1)})

    assert caught.value.reason == "too_large"


def test_explains_each_clause_in_order() -> None:
    asked = {
        "type": "invoice.paid",
        "data.note": {"$exists": True, "$eq": 1},
        "$or": [{"data.absent": {"$gt": 1}}, {"data.items.price": {"$gte": 50}}],
        "data.amount": {"$not": {"$lt": 10}},
    }

    assert compile_filter(asked).explain(DOCUMENT) == [
        Clause("/type", "type", "$eq", "invoice.paid", ("invoice.paid",), True),
        Clause("/data.note/$exists", "data.note", "$exists", True, (None,), True),
        Clause("/data.note/$eq", "data.note", "$eq", 1, (None,), False),
        Clause("/$or", "", "$or", 2, (), True),
        Clause("/$or/0/data.absent/$gt", "data.absent", "$gt", 1, (), False),
        Clause("/$or/1/data.items.price/$gte", "data.items.price", "$gte", 50, (5, 50), True),
        Clause("/data.amount/$not", "data.amount", "$not", 1, (), True),
        Clause("/data.amount/$not/$lt", "data.amount", "$lt", 10, (150,), False),
    ]


def test_tells_absent_from_null_in_json() -> None:
    null, absent = compile_filter({"data.note": 1, "data.absent": 1}).explain(DOCUMENT)

    assert null.as_json() == {
        "pointer": "/data.note",
        "path": "data.note",
        "operator": "$eq",
        "expected": 1,
        "found": [None],
        "absent": False,
        "passed": False,
    }
    assert absent.as_json() == {
        "pointer": "/data.absent",
        "path": "data.absent",
        "operator": "$eq",
        "expected": 1,
        "found": [],
        "absent": True,
        "passed": False,
    }


def test_shows_long_values_cut() -> None:
    subject = {
        "text": "x" * 1000,
        "many": [{"n": n} for n in range(50)],
        "object": {"inner": {"n": 1}, "list": [1], "n": 2},
    }
    shown = [
        clause.found
        for clause in compile_filter({"text": "x", "many.n": 1, "many": 1, "object": 1}).explain(
            subject
        )
    ]

    assert shown == [
        ("x" * 200 + "…",),
        tuple(range(10)),
        (["{…}"] * 10,),
        ({"inner": "{…}", "list": "[…]", "n": 2},),
    ]


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


EVERYTHING = compile_filter(
    {
        "a": {
            "$not": {"$eq": {"a": [{"a": 1}]}, "$ne": [[1]], "$gt": 1, "$gte": "a", "$lt": 1.5},
            "$nin": [[1], {"a": 2}, None, True],
            "$or": [{"$regex": "^a+$"}, {"$startsWith": "a"}, {"$endsWith": "a"}, {"$lte": 3}],
        },
        "$or": [{"a.a.a.0.a": 1}, {"a.a.a.a.0": {"$exists": False}}],
    }
)


@pytest.mark.parametrize(
    "subject",
    [
        None,
        1,
        "a",
        [],
        [[[]]],
        {"a": deep(100_000)},
        {"a": "a" * 10_000_000},
        {"a": "\ud800"},
        {"a": 10**4000},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": object()},
        {"a": {1, 2}},
        {"a": b"a"},
        {1: 2, None: 3},
        {"a": {1: 2}},
    ],
    ids=lambda value: repr(value)[:30] if not isinstance(value, dict) else "object",
)
def test_never_raises_on_odd_documents(subject: object) -> None:
    assert isinstance(EVERYTHING.matches(subject), bool)
    assert len(EVERYTHING.explain(subject)) == 15


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab0"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON, st.sampled_from(["a", "a.b", "a.0", "b.a.b"]), st.booleans())
def test_explain_agrees_with_matches(subject: Any, operand: Any, path: str, negated: bool) -> None:
    question = {"$nin": [operand]} if negated else {"$eq": operand}
    compiled = compile_filter({path: question})

    assert [clause.passed for clause in compiled.explain(subject)] == [compiled.matches(subject)]
    assert matches({"$not": {path: question}}, subject) is not compiled.matches(subject)


@given(JSON, st.lists(JSON, max_size=4))
def test_a_value_is_in_a_list_where_it_equals_one_of_it(value: Any, operands: list[Any]) -> None:
    subject = {"a": value}
    equals = any(matches({"a": {"$eq": operand}}, subject) for operand in operands)
    assert matches({"a": {"$in": operands}}, subject) is equals


@given(JSON)
def test_each_value_equals_itself_and_is_in_a_list_with_itself(value: Any) -> None:
    assert matches({"a": {"$eq": value}}, {"a": value}) is True
    assert matches({"a": {"$ne": value}}, {"a": value}) is False
    assert matches({"a": {"$in": [0, value]}}, {"a": value}) is True


@pytest.mark.parametrize(
    "pattern", ["(a*b*)*c", "(a|aa|b)+c", "a.{0,250}c", "a[ab]{900}c", "^([ab]+)+$c"]
)
def test_regular_expressions_do_not_hang(pattern: str) -> None:
    compiled = compile_filter({"a": {"$regex": pattern}})
    started = time.process_time()

    assert compiled.matches({"a": "ab" * (REGEX_TEXT_LENGTH // 2)}) is False
    assert time.process_time() - started < 2


def test_a_long_list_of_a_filter_and_many_elements() -> None:
    compiled = compile_filter({"a": {"$in": [[n] for n in range(LIST_ITEMS)]}})

    assert compiled.matches({"a": [[-1]] * 9_000}) is False
    assert compiled.matches({"a": [[-1]] * 9_000 + [[LIST_ITEMS - 1.0]]}) is True


def test_a_string_longer_than_the_limit_fits_no_pattern() -> None:
    compiled = compile_filter({"a": {"$regex": "x"}})

    assert compiled.matches({"a": "x" * REGEX_TEXT_LENGTH}) is True
    assert compiled.matches({"a": "x" * (REGEX_TEXT_LENGTH + 1)}) is False


def test_keeps_the_document_it_was_made_of() -> None:
    assert compile_filter({"type": "x"}).document == {"type": "x"}


@pytest.mark.parametrize(
    ("number", "passes"), [(0, True), (9_999, True), (10_000, False), (59_999, False)]
)
def test_looks_at_so_many_elements_and_no_further(number: int, passes: bool) -> None:
    flat = [{"n": n} for n in range(60_000)]
    assert matches({"items.n": number}, {"items": flat}) is passes
    assert matches({"ns": number}, {"ns": list(range(60_000))}) is passes
    nested = [{"inner": [{"n": 100 * m + n} for n in range(99)]} for m in range(600)]
    assert matches({"groups.inner.n": 0}, {"groups": nested}) is True
    assert matches({"groups.inner.n": 59_900}, {"groups": nested}) is False
    assert len(values_at({"groups": nested}, "groups.inner.n")) <= 10_000
