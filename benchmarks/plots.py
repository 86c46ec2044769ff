"""Pictures of how rates change with size and with concurrency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .alternation import middle
from .peers import PEERS
from .works import EVENTS_A_CALL, READS_AT_ONCE, SIZES, SUBSCRIPTIONS, TASKS

_COLOURS = {
    "ours": "#0b6e4f",
    "kurrent": "#c8553d",
    "kurrent_asyncio": "#e09f3e",
    "official": "#33658a",
    "raw_grpc": "#888888",
    "ours_betterproto": "#86bba0",
}

Key = Callable[[int], str]


def _named(prefix: str, usual: int, name: str) -> Key:
    """The work for a place on the axis, where the usual one has a name of its own."""
    return lambda value: name if value == usual else f"{prefix}-{value}"


def draw(results: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """Draw what there are figures for; the files' names and what they show."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "trio_esdb", "svg.fonttype": "none"}
    works = results["works"]
    folder.mkdir(exist_ok=True)
    drawn = []
    for name, title, x_label, y_label, values, key, figure in (
        (
            "read-size",
            "Reading, by size of the data",
            "bytes an event",
            "events/s",
            SIZES,
            _named("read", 200, "read"),
            "rate",
        ),
        (
            "reads-at-once",
            "Reading, by reads at once",
            "reads at once",
            "events/s",
            READS_AT_ONCE,
            _named("reads", 1, "read"),
            "rate",
        ),
        ("append-tasks", "Appending, by tasks", "tasks", "appends/s", TASKS, _named("tasks", 1, "append"), "rate"),
        (
            "append-events",
            "Appending, by events a call",
            "events a call",
            "events/s",
            EVENTS_A_CALL,
            _named("batch", 1, "append"),
            "rate",
        ),
        (
            "append-size",
            "Appending, by size of the data",
            "bytes an event",
            "appends/s",
            SIZES,
            _named("append", 200, "append"),
            "rate",
        ),
        (
            "idle",
            "Memory of idle subscriptions",
            "subscriptions",
            "KiB each",
            SUBSCRIPTIONS,
            _named("idle", -1, ""),
            "bytes",
        ),
    ):
        lines = _lines(works, values, key, figure)
        if lines:
            _plot(folder / f"{name}.svg", title, x_label, y_label, lines, level=figure == "bytes")
            drawn.append((f"{name}.svg", title))
    marks = (results.get("embedded") or {}).get("growth")
    if marks:
        lines = {
            what: ([mark["events"] for mark in marks], [mark[what] for mark in marks]) for what in ("append", "read")
        }
        _plot(
            folder / "embedded.svg",
            "Embedded node: cost of an event, by size of the store",
            "events in the store",
            "microseconds an event",
            lines,
            level=True,
        )
        drawn.append(("embedded.svg", "Embedded node: cost of an event, by size of the store"))
    return drawn


def _lines(
    works: dict[str, Any], values: Sequence[int], key: Key, figure: str
) -> dict[str, tuple[list[int], list[float]]]:
    lines: dict[str, tuple[list[int], list[float]]] = {}
    for value in values:
        work = works.get(key(value), {})
        for client, figures in work.get("clients", {}).items():
            scale = 1 / 1024 if figure == "bytes" else work["per_call"]
            x, y = lines.setdefault(client, ([], []))
            x.append(value)
            y.append(middle(figures[figure]) * scale)
    return {client: line for client, line in lines.items() if len(line[0]) > 1}


def _plot(
    path: Path,
    title: str,
    x_label: str,
    y_label: str,
    lines: dict[str, tuple[list[int], list[float]]],
    level: bool = False,
) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    for name, (x, y) in lines.items():
        peer = PEERS.get(name)
        axes.plot(x, y, marker="o", color=_COLOURS.get(name), label=name if peer is None else peer.title)
    x_values = next(iter(lines.values()))[0]
    if 0 in x_values:
        axes.set_xscale("symlog", linthresh=10)
    elif x_values[-1] < 100 * x_values[0]:
        axes.set_xscale("linear")
    else:
        axes.set_xscale("log")
    if level:
        axes.set_ylim(bottom=0)
    else:
        axes.set_yscale("log")
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
