"""Pages of the whole log, forwards and backwards.

A page ends after so many matches or so many events considered. A filter that matches little may have to look at
millions of events for one page, so a page is read in turns. The work of the filter counts: the more of it an event
takes, the fewer events are in a turn.
"""

from __future__ import annotations

from ._filters import Filter
from ._log import Log
from ._names import is_hidden_from_all
from ._turns import TURN, Turns
from ._values import AllPage, Record

_WORK_OF_A_STEP = 5
"""How many units of a filter's work, 200 ns each, count as a step of a turn."""
_SMALLEST_RECORD = 8
"""The lengths before and after a record. Below this position a node finds no record backwards."""


def read_all(
    log: Log, commit: int, prepare: int, filter: Filter | None, count: int, window: int | None
) -> Turns[AllPage]:
    """See `Store.read_all`."""
    if commit > log.last_position:
        # No record is looked at, so the position need not be that of a record.
        return AllPage([], commit, prepare, 0, True)
    entries = log.entries
    matches = None if filter is None else filter.matches
    at = log.index(commit)
    if prepare > commit:
        at += 1
    records: list[Record] = []
    after = -1  # the place after the last event considered
    considered = 0
    is_end = False
    steps = TURN
    while len(records) < count and (window is None or considered < window):
        if at == len(entries):
            is_end = True
            break
        record = entries[at]
        at += 1
        if record is not None:
            considered += 1
            after = at
            if not is_hidden_from_all(record.stream) and (matches is None or matches(record)):
                records.append(record)
            if filter is not None and filter.work:
                steps -= filter.work // _WORK_OF_A_STEP
                filter.work = 0
        steps -= 1
        if steps <= 0:
            yield
            steps = TURN
    if after < 0:
        return AllPage(records, commit, prepare, considered, is_end)
    return AllPage(records, log.positions[after] if after < len(entries) else log.end, 0, considered, is_end)


def read_all_backwards(
    log: Log, commit: int, prepare: int, filter: Filter | None, count: int, window: int | None
) -> Turns[AllPage]:
    """See `Store.read_all_backwards`."""
    if 0 <= commit < _SMALLEST_RECORD:
        return AllPage([], commit, prepare, 0, True)
    entries = log.entries
    matches = None if filter is None else filter.matches
    at = log.index(commit)
    if prepare < commit:
        # The record that ends at the commit position counts as later than this position.
        at -= 1
    records: list[Record] = []
    considered = 0
    is_end = False
    steps = TURN
    while len(records) < count and (window is None or considered < window):
        if at == 0:
            is_end = True
            break
        at -= 1
        record = entries[at]
        if record is not None:
            considered += 1
            commit = prepare = record.position
            if not is_hidden_from_all(record.stream) and (matches is None or matches(record)):
                records.append(record)
            if filter is not None and filter.work:
                steps -= filter.work // _WORK_OF_A_STEP
                filter.work = 0
        steps -= 1
        if steps <= 0:
            yield
            steps = TURN
    return AllPage(records, commit, prepare, considered, is_end)
