"""Filters: what passes. Python's expressions stand in for the server's, where both agree on the syntax."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trio_esdb import (
    DEFAULT_EXCLUDE_FILTER,
    ESDB_PERSISTENT_CONFIG_EVENTS_REGEX,
    ESDB_SYSTEM_EVENTS_REGEX,
    ESDBError,
    InvalidArgumentError,
    InvalidTypeError,
)
from trio_esdb._model import Filter, make_filter

some = settings(max_examples=200)


def made(
    *, include: Sequence[str] = (), exclude: Sequence[str] = (), by_prefix: bool = False, by_stream_name: bool = False
) -> Filter | None:
    """A filter of these texts alone."""
    return make_filter(exclude=exclude, include=include, by_stream_name=by_stream_name, by_prefix=by_prefix)


def passes(filter: Filter | None, text: str) -> bool:
    """Whether a server lets an event of this type, or a stream of this name, pass."""
    if filter is None:
        return True
    if filter.prefixes:
        assert not filter.regex
        return text.startswith(filter.prefixes)
    return re.search(filter.regex.replace(r"\z", r"\Z"), text) is not None


@pytest.mark.parametrize(
    ("include", "matching", "others"),
    [
        (["Order"], ["Order"], ["OrderShipped", "XOrder", "order", ""]),
        (
            ["Order", "Invoice"],
            ["Order", "Invoice"],
            ["OrderShipped", "XInvoice", "XOrder", "InvoiceX", "OrderInvoice"],
        ),
        (["Order|Invoice"], ["Order", "Invoice"], ["OrderShipped", "XInvoice", "XOrder", "InvoiceX"]),
        (["Order|Invoice", "A|B"], ["Order", "Invoice", "A", "B"], ["OrderA", "InvoiceB", "XA", "BX", "OrderInvoice"]),
        (["Order.*"], ["Order", "OrderShipped"], ["XOrder"]),
        ([".*Shipped", "Order[A-C]"], ["OrderShipped", "OrderA"], ["OrderD", "ShippedX", "OrderAX"]),
        (["(?:Order|Invoice)Created"], ["OrderCreated", "InvoiceCreated"], ["Order", "OrderCreatedX"]),
        ([""" """], [" "], ["", "  "]),
        (["Straße|Größe"], ["Straße", "Größe"], ["Strasse", "StraßeX"]),
        (["a+b|c*", "d?"], ["ab", "aab", "c", "ccc", "d", ""], ["abX", "Xab", "dd"]),
        (["^Order$", "^Invoice"], ["Order", "Invoice"], ["OrderX", "InvoiceX"]),
        (["Order", "Invoice$"], ["Order", "Invoice"], ["Order\n", "Invoice\n", "\nOrder", "Order\nInvoice"]),
        (["(?m:^Order$)"], ["Order"], ["Order\n", "a\nOrder", "Order\na"]),
        (["Order.*"], ["Order\n", "Order\n\na\n"], ["\nOrder"]),
    ],
)
def test_include(include: list[str], matching: list[str], others: list[str]) -> None:
    filter = made(include=include)
    assert [text for text in matching if not passes(filter, text)] == []
    assert [text for text in others if passes(filter, text)] == []
    # Excluding the same lets the rest pass.
    opposite = made(exclude=include)
    assert [text for text in matching if passes(opposite, text)] == []
    assert [text for text in others if not passes(opposite, text)] == []


def test_the_default_hides_what_servers_write_and_nothing_that_applications_write() -> None:
    filter = made(exclude=DEFAULT_EXCLUDE_FILTER)
    for text in ("$metadata", "$>", "$streamDeleted", "$$", "$x", "$a\n", "$a\nb", "$\n"):
        assert not passes(filter, text)
    applications = ["OrderCreated", "PersistentConfig1", "PersistentConfig", "Order$", "a$b", "", "$", " $x", "SystemX"]
    assert [text for text in applications if not passes(filter, text)] == []
    assert not passes(made(exclude=(*DEFAULT_EXCLUDE_FILTER, ESDB_PERSISTENT_CONFIG_EVENTS_REGEX)), "PersistentConfig1")
    assert DEFAULT_EXCLUDE_FILTER == (ESDB_SYSTEM_EVENTS_REGEX,)


def test_the_default_hides_the_same_with_prefixes() -> None:
    """It is an expression, which must not be taken for the beginning of a type."""
    for exclude in (DEFAULT_EXCLUDE_FILTER, [*DEFAULT_EXCLUDE_FILTER, "Snapshot"]):
        filter = made(exclude=exclude, by_prefix=True)
        assert not passes(filter, "$metadata")
        assert passes(filter, "OrderCreated")
        assert passes(filter, r"\$.+")
    by_name = made(exclude=DEFAULT_EXCLUDE_FILTER, by_stream_name=True)
    assert not passes(by_name, "$settings")
    assert passes(by_name, "order-1")


def test_include_wins_over_exclude() -> None:
    filter = made(include=["Order"], exclude=["Order", "Invoice"])
    assert passes(filter, "Order")
    assert not passes(filter, "Invoice")
    assert made(include=["Order"], exclude=["Order"], by_prefix=True) == Filter(False, prefixes=("Order",))


def test_nothing_to_filter() -> None:
    assert made() is None
    assert made(by_prefix=True, by_stream_name=True) is None
    assert made(include=[], exclude=()) is None


def test_prefixes() -> None:
    filter = made(include=["order-", "invoice."], by_prefix=True, by_stream_name=True)
    assert filter == Filter(True, prefixes=("order-", "invoice."))
    assert passes(filter, "order-1")
    assert passes(filter, "invoice.1")
    assert not passes(filter, "invoice-1")

    opposite = made(exclude=["order-", "invoice."], by_prefix=True, by_stream_name=True)
    assert not passes(opposite, "order-1")
    assert not passes(opposite, "invoice.1")
    assert passes(opposite, "invoice-1")
    assert passes(opposite, "my-order-1")


SPECIAL = st.text(alphabet=r"ab.*+?()[]{}|^$\-#& /~'<>ü", min_size=1, max_size=6)


@given(prefixes=st.lists(SPECIAL, min_size=1, max_size=4), text=SPECIAL)
@some
def test_excluded_prefixes_are_plain_text(prefixes: list[str], text: str) -> None:
    assume(ESDB_SYSTEM_EVENTS_REGEX not in prefixes)  # which has its own meaning
    for exclude in (prefixes, tuple(prefixes)):
        filter = made(exclude=exclude, by_prefix=True)
        for name in (text, prefixes[0] + text, text + prefixes[0]):
            assert passes(filter, name) != name.startswith(tuple(prefixes))


PATTERN = st.sampled_from(
    ["a", "ab", "a|b", "a.*", ".*b", "(?:a|ab)c", "[ab]+", "a{2}", "a?", "x|y|z", "(a)(b)", "^a", "b$"]
)


@given(patterns=st.lists(PATTERN, min_size=1, max_size=4), text=st.text(alphabet="abcxyz\n", max_size=4))
@some
def test_patterns_match_the_whole_text_each_for_itself(patterns: list[str], text: str) -> None:
    expected = any(re.fullmatch(pattern, text, re.DOTALL) for pattern in patterns)
    assert passes(made(include=patterns), text) == expected
    assert passes(made(exclude=patterns), text) != expected


def test_expressions_are_the_servers() -> None:
    """What Python cannot parse is none of our business."""
    filter = made(include=[r"(?<name>\p{Lu}\w+)", "(unclosed"])
    assert filter is not None
    assert filter.regex == r"^(?s:(?:(?<name>\p{Lu}\w+))|(?:(unclosed))\z"


def test_how_often_to_tell_where_it_is() -> None:
    filter = make_filter(exclude=["a"], include=(), by_stream_name=True, by_prefix=False, window=100, interval=7)
    assert filter == Filter(True, regex=r"^(?!(?s:a)\z)", window=100, interval=7)
    prefixes = make_filter(exclude=(), include=["a"], by_stream_name=False, by_prefix=True, window=100, interval=7)
    assert prefixes == Filter(False, prefixes=("a",), window=100, interval=7)


BAD: list[tuple[Any, type[ESDBError], str]] = [
    ("Order", InvalidTypeError, "must be a sequence of str, such as a tuple, not str"),
    (b"Order", InvalidTypeError, "must be a sequence of str, such as a tuple, not bytes"),
    (None, InvalidTypeError, "must be a sequence of str, such as a tuple, not NoneType"),
    ({"Order"}, InvalidTypeError, "must be a sequence of str, such as a tuple, not set"),
    (["Order", None], InvalidTypeError, "must contain str, not NoneType"),
    ([b"Order"], InvalidTypeError, "must contain str, not bytes"),
    ([re.compile("Order")], InvalidTypeError, "must contain str, not Pattern"),
    (["Order", ""], InvalidArgumentError, "must not contain an empty string"),
    (["\ud800"], InvalidArgumentError, "must be encodable as UTF-8"),
]


@pytest.mark.parametrize("name", ["include", "exclude"])
@pytest.mark.parametrize(("value", "kind", "complaint"), BAD)
def test_bad_texts_are_named(name: str, value: Any, kind: type[ESDBError], complaint: str) -> None:
    for by_prefix in (False, True):
        with pytest.raises(kind, match=f"filter_{name} {complaint}"):
            made(**{name: value}, by_prefix=by_prefix)
