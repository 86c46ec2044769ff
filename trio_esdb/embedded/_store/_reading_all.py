"""Pages of the whole log, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable

from ._log import Log
from ._names import is_hidden_from_all
from ._values import AllPage, Record

Matches = Callable[[Record], bool]


def read_all(log: Log, commit: int, prepare: int, matches: Matches | None, count: int, window: int | None) -> AllPage:
    """See `Store.read_all`."""
    if commit > log.last_position:
        # Nothing is looked at, so it does not matter whether a record could begin here.
        return AllPage([], commit, prepare, 0, True)
    entries = log.entries
    at = log.index(commit)
    if prepare > commit:
        at += 1
    records: list[Record] = []
    after = -1  # the place after the last event considered
    considered = 0
    is_end = False
    while len(records) < count and (window is None or considered < window):
        if at == len(entries):
            is_end = True
            break
        record = entries[at]
        at += 1
        if record is None:
            continue
        considered += 1
        after = at
        if is_hidden_from_all(record.stream) or (matches is not None and not matches(record)):
            continue
        records.append(record)
    if after < 0:
        return AllPage(records, commit, prepare, considered, is_end)
    return AllPage(records, log.positions[after] if after < len(entries) else log.end, 0, considered, is_end)


def read_all_backwards(
    log: Log, commit: int, prepare: int, matches: Matches | None, count: int, window: int | None
) -> AllPage:
    """See `Store.read_all_backwards`."""
    entries = log.entries
    at = log.index(commit)
    records: list[Record] = []
    considered = 0
    is_end = False
    while len(records) < count and (window is None or considered < window):
        if at == 0:
            is_end = True
            break
        at -= 1
        record = entries[at]
        if record is None:
            continue
        considered += 1
        commit = prepare = record.position
        if is_hidden_from_all(record.stream) or (matches is not None and not matches(record)):
            continue
        records.append(record)
    return AllPage(records, commit, prepare, considered, is_end)
