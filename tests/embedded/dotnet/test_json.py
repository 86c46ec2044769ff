"""JSON as Json.NET reads and writes it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_esdb.embedded._dotnet._json import MAX_DEPTH, MAX_TOKENS, BadJson, Kind, tokens
from trio_esdb.embedded._dotnet._json_values import MAX_COMMAS, MAX_CONTAINERS, MAX_WRITTEN, read_object, write_object
from trio_esdb.embedded._dotnet._texts import format_double, parse_int64, utf16_units, wrap_int64

BAD = [
    "{",
    "{'a'",
    "{'a':",
    "{'a':1",
    "{'a':1,",
    "{'a':1]",
    "{'a':[1}",
    "{'a':]}",
    "{'a'1}",
    "{a b:1}",
    "{a",
    "{a-b:1}",
    "{,}",
    "{'a':1,,}",
    "{-:1}",
    "}",
    "]",
    ",",
    "{'a':1 2}",
    "{'a':tru}",
    "{'a':truex}",
    "{'a':true/}",
    "{'a':nul}",
    "{'a':new Date()}",
    "{'a':+1}",
    "{'a':1x}",
    "{'a':1z}",
    "{'a':-}",
    "{'a':.}",
    "{'a':1.2.3}",
    "{'a':1-2}",
    "{'a':--1}",
    "{'a':1e}",
    "{'a':0x}",
    "{'a':0xg}",
    "{'a':0x1-2}",
    "{'a':09}",
    "{'a':-0x1}",
    "{'a':0x10000000000000000}",
    "{'a':" + "1" * 381 + "}",
    "{'a':'",
    "{'a':'x",
    "{'a':'x\\",
    "{'a':'x\\'",
    "{'a':'\\q'}",
    "{'a':'\\u12'}",
    "{'a':'\\u12g4'}",
    "{'a':/}",
    "{'a':1/x}",
    "{'a':/* 1}",
    "{'a':@}",
    "\ufeff{}",
    "{}{}",
    "{'\U0001f600':1}x",
    "{\U0001f600:1}",
    "{'a':" + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}",
]


@pytest.mark.parametrize("text", BAD)
def test_what_is_not_read(text: str) -> None:
    with pytest.raises(BadJson):
        read_object(text)


GOOD = [
    ("{}", {}),
    ("{'a':1e2,'b':.5,'c':-.5}", {"a": 100.0, "b": 0.5, "c": -0.5}),
    ("{'a':1.,'b':1E+2,'c':0e1}", {"a": 1.0, "b": 100.0, "c": 0.0}),
    ("{'a':0xFFFFFFFFFFFFFFFF,'b':0X10,'c':007}", {"a": -1, "b": 16, "c": 7}),
    ("{'a':" + "1" * 380 + "}", {"a": int("1" * 380)}),
    ("{'a':true/**/,'b':false//\n,'c':null\u2003}", {"a": True, "b": False, "c": None}),
    ("{'a':1//\r}", {"a": 1}),
    ("{\x00'a'\x00:\x00true\x00,\x00}", {"a": True}),
    ("{$a_1é:1}", {"$a_1é": 1}),
    ("{'a\\'b':\"c'd\"}", {"a'b": "c'd"}),
    ("{'a':'\\b\\t\\n\\f\\r\\\\\\\"\\'\\/\\u0041'}", {"a": "\b\t\n\f\r\\\"'/A"}),
    ("{'a':" + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), GOOD)
def test_what_is_read(text: str, value: object) -> None:
    found = read_object(text)
    assert value is None or found == value
    assert read_object(lenient(text)) == found


def test_tokens_come_one_by_one() -> None:
    found = tokens("[1, 'a' /**/ , {b: 2.5}] x")
    assert [next(found)[0] for _ in range(9)] == [
        Kind.OPEN_ARRAY, Kind.INTEGER, Kind.STRING, Kind.COMMENT, Kind.OPEN_OBJECT, Kind.NAME, Kind.FLOAT,
        Kind.CLOSE_OBJECT, Kind.CLOSE_ARRAY,
    ]  # fmt: skip
    with pytest.raises(BadJson):
        next(found)
    assert list(tokens("[1,")) == [(Kind.OPEN_ARRAY, None), (Kind.INTEGER, 1)]


def test_comments_that_follow_each_other_are_one_token() -> None:
    many = "//\n/* * / */ \r//\r" * 50_000
    assert list(tokens(many)) == [(Kind.COMMENT, None)]
    assert [kind for kind, _ in tokens(f"[1{many},{many}]{many}")] == [
        Kind.OPEN_ARRAY, Kind.INTEGER, Kind.COMMENT, Kind.COMMENT, Kind.CLOSE_ARRAY, Kind.COMMENT,
    ]  # fmt: skip
    for unfinished in ("/* " * 50_000, many + "/", "/ " + many):
        with pytest.raises(BadJson, match="a single slash, or a comment without an end"):
            list(tokens(unfinished))


def test_texts_of_a_megabyte() -> None:
    """What Json.NET takes too, as long as it has no more parts than can be read here in a short time."""
    assert read_object('{"a":"' + "\\n" * 500_000 + '"}') == {"a": "\n" * 500_000}
    assert read_object('{"a":[' + "1111111111111111111," * MAX_COMMAS + "2]}")["a"][-1] == 2  # type: ignore[index, call-overload]
    assert read_object("{'a':'" + "x" * 1_000_000 + "'}") == {"a": "x" * 1_000_000}
    assert read_object("{" + "x" * 1_000_000 + ":.5}") == {"x" * 1_000_000: 0.5}
    assert read_object('{"a":0.' + "5" * 1_000_000 + "}") == {"a": 0.5555555555555556}


TOO_MUCH = [
    ("{'a':'" + "\\n" * (MAX_TOKENS + 1) + "'}", "too many escapes"),
    ("{a:[" + "1," * (MAX_TOKENS // 2) + "1]}", "too many tokens"),
    ('{"a":[' + "[]," * MAX_CONTAINERS + "1]}", "too many tokens"),
    ('{"a":[' + "1," * MAX_COMMAS + "1,1]}", "too many tokens"),
    ('{"a":' + "1" * 1_000_000 + "}", "too many digits"),
    ('{"a":0' + "7" * 1_000_000 + "}", "a bad number"),
    ('{"a":' + "[" * 1_000_000 + "}", "too deep"),
    ('{"a":' + '{"":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH + "}", "too deep"),
]


@pytest.mark.parametrize(("text", "reason"), TOO_MUCH)
def test_what_is_too_much(text: str, reason: str) -> None:
    with pytest.raises(BadJson, match=reason):
        read_object(text)


def test_what_is_too_much_to_write() -> None:
    members = read_object('{"a":[' + "1," * (MAX_WRITTEN - 2) + "2]}")
    assert write_object(members).endswith("1,2]}")
    members["b"] = 3
    with pytest.raises(BadJson, match="too many values"):
        write_object(members)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text().filter(lambda text: "T" not in text),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


def as_pairs(value: object) -> object:
    """The value with its objects as pairs, floats told apart from integers."""
    if isinstance(value, dict):
        return tuple((name, as_pairs(item)) for name, item in value.items())
    if isinstance(value, list):
        return [as_pairs(item) for item in value]
    return as_pairs(dict(value)) if isinstance(value, tuple) else (type(value), value)


def lenient(text: str) -> str:
    """The same, but no JSON."""
    return text + "//"


@given(st.dictionaries(st.text(), plain))
def test_all_json_is_read_and_written(value: dict[str, object]) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        found = read_object(text)
        assert as_pairs(found) == as_pairs(value)
        assert json.loads(write_object(found)) == value
        assert read_object(lenient(text)) == found


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_written_numbers_are_the_same_numbers(number: float) -> None:
    assert float(format_double(number)) == number


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (2.5, "2.5"),
        (-60.0, "-60"),
        (0.0001, "0.0001"),
        (0.00001234, "1.234E-05"),
        (1e16, "10000000000000000"),
        (1e17, "1E+17"),
        (1.5e300, "1.5E+300"),
        (5e-324, "5E-324"),
        (123456789.125, "123456789.125"),
    ],
)
def test_numbers_look_as_dotnet_writes_them(number: float, text: str) -> None:
    assert format_double(number) == text


def test_integers_of_64_bits() -> None:
    assert parse_int64("9223372036854775807") == 2**63 - 1
    assert parse_int64("9223372036854775808") is None
    assert parse_int64("\t -5\r\n\0\0") == -5
    assert parse_int64("5\0 ") is None
    assert parse_int64("-9223372036854775808") == -(2**63)
    assert parse_int64("-9223372036854775809") is None
    assert parse_int64("+" + "0" * 100_000 + "7") == 7
    assert parse_int64("000") == 0
    assert parse_int64("7" * 100_000) is None
    assert wrap_int64(2**64 - 1) == -1
    assert wrap_int64(5) == 5


@given(st.text())
def test_code_units(text: str) -> None:
    units = utf16_units(text)
    assert len(units) == len(text.encode("utf-16-le", "surrogatepass")) // 2
    assert units.encode("utf-16-le", "surrogatepass") == text.encode("utf-16-le", "surrogatepass")
