"""What trio_esdb is to reach: ratios to other clients of the same run, and a few figures of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .alternation import middle, ratios

MIB = 1024 * 1024
FLAT = 0.5
"""MiB that a reader's largest memory may grow between a tenth of a long read and its end, to be called flat."""


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio of ours to a peer's figure; where ``more`` is set, more is better."""

    text: str
    work: str
    figure: str
    peer: str
    must: float
    aim: float | None
    more: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """A target and what was found."""

    text: str
    must: str
    aim: str
    found: str
    spread: str
    verdict: str


TARGETS = (
    Target("read 200-byte events, packed: events/s", "read", "rate", "kurrent", 4, 8),
    Target("read 200-byte events, packed: CPU per event", "read", "cpu", "kurrent", 0.25, 0.12, more=False),
    Target("the same, live framing (catch-up subscription): events/s", "live", "rate", "kurrent", 3, 5),
    Target("the same, live framing: CPU per event", "live", "cpu", "kurrent", 0.33, 0.2, more=False),
    Target("$all with filter: events/s", "all", "rate", "kurrent", 3, 6),
    Target("links resolved: events/s", "links", "rate", "kurrent", 3, 6),
    Target("one append after another: calls/s", "append", "rate", "kurrent", 2, 3),
    Target("one append after another: CPU per call", "append", "cpu", "kurrent", 0.4, 0.15, more=False),
    Target("appends from 90 tasks, against the asyncio client: calls/s", "tasks-90", "rate", "kurrent_asyncio", 3, 10),
    Target("append of 1000 events in one call: calls/s", "batch-1000", "rate", "kurrent", 2, 4),
    Target("consume from a group and ack: events/s", "consume", "rate", "kurrent", 6, 10),
    Target("consume from a group and ack: CPU per event", "consume", "cpu", "kurrent", 0.15, None, more=False),
    Target("consume from a group and ack, live framing: events/s", "consume-live", "rate", "kurrent", 6, 10),
    Target("consume from a group and ack, 10 consumers: events/s", "consume-10", "rate", "kurrent", 6, 10),
    Target("memory of a kept event", "keep", "bytes", "kurrent", 0.8, 0.65, more=False),
    Target("read, packed, against the official Node client: events/s", "read", "rate", "official", 2, None),
    Target("live, against the official Node client: events/s", "live", "rate", "official", 2, None),
    Target("$all with filter, against the official Node client", "all", "rate", "official", 2, None),
    Target("links resolved, against the official Node client", "links", "rate", "official", 2, None),
    Target("read over TLS: events/s", "tls", "rate", "kurrent", 9, None),
    Target("read over TLS, against the official Node client: events/s", "tls", "rate", "official", 2, None),
    Target("read over TLS: CPU per event, against the same without TLS", "tls", "cpu", "ours_plain", 1.15, None, False),
    Target("one append after another, over TLS: calls/s", "tls-append", "rate", "kurrent", 3, None),
)


def findings(results: dict[str, Any]) -> Iterable[Finding]:
    """All targets, those that were not measured included."""
    for target in TARGETS:
        yield _ratio(target, results)
    yield from _footprint(results.get("footprint") or {})
    yield from _slow_reader(results)
    yield from _embedded(results.get("embedded") or {})


def _ratio(target: Target, results: dict[str, Any]) -> Finding:
    sign = ">=" if target.more else "<="
    mark = "x" if target.figure == "rate" else ""
    must = f"{sign} {target.must:g}{mark}"
    aim = "" if target.aim is None else f"{sign} {target.aim:g}{mark}"
    clients = results["works"].get(target.work, {}).get("clients", {})
    if "ours" not in clients or target.peer not in clients:
        why = results["works"].get(target.work, {}).get("errors", {})
        return Finding(target.text, must, aim, "", "", "not measured" + _because(why, ("ours", target.peer)))
    found = ratios(clients["ours"][target.figure], clients[target.peer][target.figure])
    if not found:
        return Finding(target.text, must, aim, "", "", "not measured")
    value = middle(found)
    spread = f"{min(found):.2f} to {max(found):.2f}"
    return Finding(
        target.text, must, aim, f"{value:.2f}{mark}", spread, _verdict(value, target.must, target.aim, target.more)
    )


def _verdict(value: float, must: float, aim: float | None, more: bool) -> str:
    good, better = (
        (value >= must, aim is not None and value >= aim)
        if more
        else (
            value <= must,
            aim is not None and value <= aim,
        )
    )
    if better or (good and aim is None):
        return "**reached**"
    return "must reached" if good else "missed"


def _because(errors: dict[str, str], clients: tuple[str, ...]) -> str:
    found = [errors[client] for client in clients if client in errors]
    return f": {found[0][:80]}" if found else ""


def _footprint(footprint: dict[str, Any]) -> Iterable[Finding]:
    text = "import time of the whole client"
    samples = footprint.get("imports", {}).get("import")
    if samples:
        found = ratios([s["seconds"] for s in samples["ours"]], [s["seconds"] for s in samples["kurrent"]])
        value = middle(found)
        spread = f"{min(found):.2f} to {max(found):.2f}"
        yield Finding(text, "<= 1.2x", "<= 1.05x", f"{value:.2f}x", spread, _verdict(value, 1.2, 1.05, False))
    else:
        yield Finding(text, "<= 1.2x", "<= 1.05x", "", "", "not measured")
    for text, key in (
        ("installed size with dependencies", "trio_esdb"),
        ("the same, from pure-Python wheels alone", "trio_esdb, from pure-Python wheels alone"),
    ):
        size = footprint.get("sizes", {}).get(key, {}).get("bytes")
        if size:
            value = size / MIB
            yield Finding(text, "<= 5 MiB", "<= 3.5 MiB", f"{value:.2f} MiB", "", _verdict(value, 5, 3.5, False))
        else:
            yield Finding(text, "<= 5 MiB", "<= 3.5 MiB", "", "", "not measured")


def _slow_reader(results: dict[str, Any]) -> Iterable[Finding]:
    text = "memory while reading 1 000 000 events, slow consumer"
    ours = results["works"].get("slow", {}).get("clients", {}).get("ours")
    if not ours or "1000000" not in ours["peaks"][0]:
        yield Finding(text, "flat", "flat, < 2 MiB over idle", "", "", "not measured")
        return
    last = middle([one["1000000"] for one in ours["peaks"]]) / MIB
    growth = last - middle([one["100000"] for one in ours["peaks"]]) / MIB
    verdict = "missed" if growth > FLAT else "**reached**" if last < 2 else "must reached"
    found = f"{last:.2f} MiB over idle, {growth:.2f} MiB of it after 100 000 events"
    yield Finding(text, "flat", "flat, < 2 MiB over idle", found, "", verdict)


def _embedded(embedded: dict[str, Any]) -> Iterable[Finding]:
    for text, key, must, scale, unit, more in (
        ("embedded node: start of one, with a client connected", "start", 10.0, 1e3, " ms", False),
        ("embedded node: small appends from 90 tasks, one process", "append", 10_000.0, 1.0, "/s", True),
        ("embedded node: events read through the client, one process", "read", 50_000.0, 1.0, "/s", True),
        ("embedded cluster: start of three nodes, settled, and their end", "cluster", 50.0, 1e3, " ms", False),
        ("embedded cluster: an hour of a mock clock, idle, with a subscription", "idle_hour", 1.0, 1.0, " s", False),
    ):
        sign = ">=" if more else "<"
        limit = f"{sign} {must:,.0f}{unit}".replace(",", " ")
        samples = embedded.get(key)
        if not samples:
            yield Finding(text, limit, "", "", "", "not measured" + _because(embedded.get("errors", {}), (key,)))
            continue
        values = [(one["units"] / one["seconds"]) if more else one["seconds"] / one["units"] * scale for one in samples]
        value = middle(values)
        digits = 0 if more else 1
        spread = f"{min(values):.{digits}f} to {max(values):.{digits}f}"
        yield Finding(text, limit, "", f"{value:.{digits}f}{unit}", spread, _verdict(value, must, None, more))
    text = "embedded node: cost of an event up to 1 000 000 events: the last 300 000 against the first 300 000"
    marks = embedded.get("growth")
    if marks:
        value = max(
            middle([mark[what] for mark in marks[-3:]]) / middle([mark[what] for mark in marks[:3]])
            for what in ("append", "read")
        )
        yield Finding(text, "flat (<= 1.2x)", "", f"{value:.2f}x", "", _verdict(value, 1.2, None, False))
    else:
        yield Finding(
            text, "flat (<= 1.2x)", "", "", "", "not measured" + _because(embedded.get("errors", {}), ("growth",))
        )
