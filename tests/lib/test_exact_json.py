from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_project.lib.exact_json import is_same, items, members

PARTS = [
    b"1", b"-1.50e+3", b"18446744073709551617", b"null", b"true", b'""', b'"a\\"}]"', b"{}", b"[]",
    b'{ "a" : [ 1, {"b":"]"} ] }', b'[[[]], "\\\\", {"x": {}}]',
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("space", [b"", b" ", b"\n\t "])
def test_gives_each_part_as_it_is_written(part: bytes, space: bytes) -> None:
    s = space
    text = s + b"{" + s + b'"one"' + s + b":" + s + part + s + b"," + s + b'"t\\u0077o":' + part
    text += s + b"}" + s
    orjson.loads(text)
    assert members(text) == {"one": part, "two": part}
    array = s + b"[" + s + part + s + b"," + s + part + s + b"]" + s
    assert list(items(array)) == [part, part]


@pytest.mark.parametrize("space", [b"", b" \n"])
def test_nothing_has_no_parts(space: bytes) -> None:
    assert members(b"{" + space + b"}") == {}
    assert list(items(b"[" + space + b"]")) == []


def test_of_equal_names_the_last_counts_as_for_the_parser() -> None:
    text = b'{"a":1,"\\u0061":2}'
    assert members(text) == {"a": b"2"}
    assert orjson.loads(text) == {"a": 2}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), json_values))
def test_the_parts_are_those_of_the_parser(value: dict[str, object]) -> None:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2)
    assert {name: orjson.loads(part) for name, part in members(text).items()} == value
    array = orjson.dumps(list(value.values()), option=orjson.OPT_INDENT_2)
    assert [orjson.loads(part) for part in items(array)] == list(value.values())


def test_the_deepest_nesting_that_the_parser_takes() -> None:
    deep = b"[" * 1000 + b"]" * 1000
    assert members(b'{"a":' + deep + b"}") == {"a": deep}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":[2]}', b'{ "b": [2], "a": 1 }'),
        (b"1", b"1.0"),
        (b"100", b"1e2"),
        (b'"\\u00e9"', '"é"'.encode()),
        (b"18446744073709551617", b"18446744073709551617.0"),
        (b"[" * 1000 + b"]" * 1000, b"[" * 1000 + b"]" * 1000),
    ],
)
def test_means_the_same(one: bytes, other: bytes) -> None:
    assert is_same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"1", b"true"),
        (b"0", b"false"),
        (b"1", b'"1"'),
        (b"null", b"0"),
        (b"[1,2]", b"[2,1]"),
        (b'{"a":1}', b'{"a":1,"b":null}'),
        (b"18446744073709551617", b"18446744073709551618"),
        (b"0.1", b"0.10000000000000001"),
        (b"1e99999999999999999999", b"1e99999999999999999998"),
        (b"[" * 1000 + b"]" * 1000, b" " + b"[" * 1000 + b"]" * 1000),  # too deep to be told
    ],
)
def test_does_not_mean_the_same(one: bytes, other: bytes) -> None:
    assert not is_same(one, other)
