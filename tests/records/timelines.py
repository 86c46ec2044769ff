"""A timeline: what each node of a cluster showed of all members, polled each 100 ms, and what calls were answered.

The same form holds what was recorded from real clusters (`timelines.json`) and what is recorded from an embedded one.
Times are milliseconds from the action. Nodes have the names of their parts: the leader that something is done to is
`old`, the next leader `new`, the rest `other`, or `a` and `b` where the old leader wins again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

View = dict[str, str] | str
"""The state of each member, as `Leader` or `Leader dead`; or `gone` if nobody listens, `silent` if no answer came."""


@dataclass
class Timeline:
    """What was seen in one run."""

    views: dict[str, list[tuple[float, float, View]]] = field(default_factory=dict)
    """Of each node: when a view was first and last seen, and the view."""
    appends: dict[str, list[tuple[float, str, float]]] = field(default_factory=dict)
    """On each way: when it was sent, the answer, and how long that took."""
    calls: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    """Of each open call: when it was told what."""
    written: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each answer that is not OK: how many appends got it, and how many of these are in the stream at the end."""

    def saw(self, viewer: str, ms: float, view: View) -> None:
        """Note what a node showed."""
        seen = self.views.setdefault(viewer, [])
        if seen and seen[-1][2] == view:
            seen[-1] = (seen[-1][0], ms, view)
        else:
            seen.append((ms, ms, view))

    def shown(self, viewer: str, subject: str, after: float | None = 0) -> list[tuple[float, str]]:
        """The states of a member on a node in their order, each with the time at which it was first seen.

        The first is what was shown at the time `after`, or None for all."""
        found: list[tuple[float, str]] = []
        for first, last, view in self.views.get(viewer, ()):
            state = view if isinstance(view, str) else view.get(subject, "not listed")
            if after is not None and last <= after and found:
                found = []
            if not found or found[-1][1] != state:
                found.append((first, state))
        if after is not None:
            while len(found) > 1 and found[1][0] <= after:
                del found[0]
        return found

    def when(self, viewer: str, subject: str, *states: str, after: float = 0) -> float | None:
        """When a member was first shown in one of these states."""
        return next((ms for ms, state in self.shown(viewer, subject, after) if state in states and ms > after), None)

    def settled(self) -> float | None:
        """Since when all nodes that answer show the same."""
        last = [views[-1] for views in self.views.values() if not isinstance(views[-1][2], str)]
        if not last or any(view != last[0][2] for _, _, view in last):
            return None
        return max(first for first, _, _ in last)


def recorded(situation: str) -> Timeline:
    """What was recorded from a real cluster."""
    record = _records()[situation]
    timeline = Timeline()
    for viewer, rows in record["views"].items():
        timeline.views[viewer] = [tuple(row) for row in rows]
    for way, rows in record.get("appends", {}).items():
        timeline.appends[way] = [
            (sent, answer, took) for first, last, answer, range in rows for sent in (first, last) for took in range
        ]
    for name, told in record.get("open calls", {}).items():
        timeline.calls[name] = [tuple(each) for each in told]
    for answer, (number, of_these) in record.get("unanswered, of these written", {}).items():
        timeline.written[answer] = (number, of_these)
    return timeline


def names() -> list[str]:
    """The situations of which there is a recording."""
    return list(_records())


def fact(situation: str, name: str) -> Any:
    """Something else that the record says."""
    return _records()[situation][name]


@cache
def _records() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "timelines.json").read_text())
    return found


def follows(states: list[str], stages: str) -> bool:
    """Whether these states come in the order of the stages: `A, B?, C|D*` with `?` for one that may be missing, as a
    recorder that looks each 100 ms misses short ones, and `*` for several in any order."""
    pattern = ""
    for stage in stages.split(", "):
        names, suffix = (stage[:-1], stage[-1]) if stage[-1] in "?*" else (stage, "")
        pattern += f"(?:(?:{'|'.join(map(re.escape, names.split('|')))});){suffix}"
    return re.fullmatch(pattern, "".join(f"{state};" for state in states)) is not None
