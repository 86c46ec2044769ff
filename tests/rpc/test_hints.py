"""What an error adds where a server says only that its handler failed."""

from __future__ import annotations

import pytest

from trio_esdb import InvalidPositionError, InvalidRequestError, ServerError
from trio_esdb._rpc import CallKind, Method, Operation, error_from
from trio_esdb._wire import Outcome, Status

UNMAPPED = "Exception was thrown by handler."
POSITION = "a position that is not the position of an event"
PATTERN = "a filter whose regular expression it cannot parse"


def error(outcome: Outcome, *, from_position: bool = True, own_patterns: bool = True) -> ServerError:
    reading = Operation(
        Method.READ, [b""], "reading", CallKind.READ, from_position=from_position, own_patterns=own_patterns
    )
    return error_from(reading, outcome, "node:2113")


@pytest.mark.parametrize(
    ("from_position", "own_patterns", "kind", "hints"),
    [
        (True, True, InvalidRequestError, {POSITION, PATTERN}),
        (True, False, InvalidPositionError, {POSITION}),
        (False, True, InvalidRequestError, {PATTERN}),
        (False, False, InvalidRequestError, set()),
    ],
)
@pytest.mark.parametrize("text", [UNMAPPED, UNMAPPED.removesuffix(".")])
def test_what_was_asked_decides(
    text: str, from_position: bool, own_patterns: bool, kind: type[ServerError], hints: set[str]
) -> None:
    found = error(Outcome(Status.UNKNOWN, text), from_position=from_position, own_patterns=own_patterns)
    assert type(found) is kind
    assert {hint for hint in (POSITION, PATTERN) if hint in str(found)} == hints
    assert ("A server says no more than this" in str(found)) == bool(hints)
    assert found.details == text


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(Status.UNKNOWN, "Unexpected ReadAllResult: Error"),
        Outcome(Status.UNKNOWN, f"{UNMAPPED} IOException: no space left"),
        Outcome(Status.UNKNOWN, ""),
        Outcome(Status.UNKNOWN, UNMAPPED, local=True),
    ],
)
def test_no_other_error_has_a_hint(outcome: Outcome) -> None:
    assert "A server says no more than this" not in str(error(outcome))
