"""benchmarks/RESULTS.md from a run's figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .alternation import middle, ratios
from .footprint import PIP, PURE
from .peers import PEERS
from .targets import MIB, findings
from .works import LARGE

_SIZES = {"read-0": "0 B", "read": "200 B", "read-4096": "4 KiB", f"read-{LARGE}": "1 MiB"}
_READS = {"read": "1", "reads-10": "10", "reads-100": "100", "reads-1000": "1000"}
_TASKS = {"append": "1", "tasks-10": "10", "tasks-90": "90", "tasks-500": "500"}
_EVENTS = {"append": "1", "batch-10": "10", "batch-100": "100", "batch-1000": "1000"}
_APPENDS = {"append-0": "0 B", "append": "200 B", "append-4096": "4 KiB", f"append-{LARGE}": "1 MiB"}

_HEAD = """\
# What was measured

Written by `python -m benchmarks{option}`; do not edit. Every number is of one run on one machine; rates are worth
something only against each other, so read the ratios first.
"""

_METHOD = """\
## How

- {node}
- Each client is a program of its own that gets its work through a pipe.{pinned} In each round every client does the
  work once, the order turns from round to round, and a first round that warms everything up is not counted. A ratio is
  taken within a round; what is shown is the median over {rounds} rounds, and in brackets the least and the most.
- Every client goes through its public API and reaches id, type, data, metadata, position and time of every event.
  Events hold 200 bytes of binary data unless said otherwise, and two bytes of metadata. `grpcio, nothing decoded` takes
  the messages' bytes and no more; `trio_esdb with betterproto2's codecs` is this client with the generated messages in
  place of its own codecs.
- CPU is user and system time of the client's process, all threads, by `getrusage` around the work: start-up, connecting
  and a first small read and append are outside. A garbage collection comes before each measurement.
- Node busy: the processor time of the replay node against the time that the work took. Well below 100 % it was not what
  held a client up; where one call follows another both ends wait for each other in turn.
- In the tables by size and number, what follows a rate is by how much trio_esdb is faster.
- kurrentdbclient appends a single event by its synchronous client with `Append`, all else with `BatchAppend`; the Node
  client keeps one `BatchAppend` call open for all appends, and reads through its native part in Rust, but for
  subscriptions. From threads, one for each task, the synchronous client is measured where a work has tasks.
- Memory is resident memory (`VmRSS`, `VmHWM`) in a fresh process for each sample. Of kept events: what a list of 20 000
  events adds, each not yet looked into. Of a slow reader: the largest amount above that of the idle, connected client,
  with a pause of a millisecond after each 2000 events, so that the node is always ahead. Of idle subscriptions: what
  they add, connections included, a connection for each hundred; kurrentdbclient needs a client for each hundred.
- Import: time and resident memory that the import adds, bytecode already written, in a fresh interpreter. `first read`
  goes on until a hundred events have been read, as some things are loaded only when they are needed.
- Installed size: the bytes of all files but `*.pyc` after `pip {pip} EMPTY-FOLDER PACKAGE`,
  for trio_esdb the wheel built from this tree. From pure-Python wheels alone: the same with
  `{pure}`.
- Events of 1 MiB hold 1 KiB less, since a node takes no more than 1 MiB in one append, what is around the data counted.
- TLS: the node sends records of about 4 KiB, and its certificate is signed by an authority that the clients are given.
  `trio_esdb without TLS` does the same work in the same rounds with a node without TLS.
"""


def write(results: dict[str, Any], path: Path, drawn: Sequence[tuple[str, str]]) -> None:
    """Write the report."""
    quick = results["mode"] == "quick"
    parts = [_HEAD.format(option=" --quick" if quick else ""), _setting(results), _targets(results)]
    parts += [
        _works(results, "Reading", ("read", "live", "all", "links", "get", "tls", "tls-live")),
        _series(results, "Reading, by size of the data: events/s", _SIZES),
        _series(results, "Reading, by reads at once: events/s", _READS),
        _works(results, "Appending", ("append", "tls-append", "tasks-90", "batch-1000")),
        _series(results, "Appending, by tasks: calls/s", _TASKS),
        _series(results, "Appending, by events a call: calls/s", _EVENTS),
        _series(results, "Appending, by size of the data: calls/s", _APPENDS),
        _memory(results),
        _footprint(results.get("footprint") or {}),
        _embedded(results.get("embedded") or {}),
    ]
    if drawn:
        parts.append("## Pictures\n\n" + "\n\n".join(f"![{title}](plots/{name})" for name, title in drawn) + "\n")
    parts += [_skipped(results), _method(results)]
    path.write_text("\n".join(part for part in parts if part))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; empty without rows."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines]) + "\n"


def number(value: float) -> str:
    """Three digits that matter, thousands apart."""
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}".replace(",", " ")
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _spread(values: Sequence[float]) -> str:
    return f"{number(middle(values))} ({number(min(values))} to {number(max(values))})"


def _setting(results: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return f"Machine: {results['machine']}. Node: {results['node']}.\n\nVersions: {versions}.\n"


def _targets(results: dict[str, Any]) -> str:
    rows = [(f.text, f.must, f.aim, f.found, f.spread, f.verdict) for f in findings(results)]
    return "## Targets\n\nAgainst kurrentdbclient's synchronous client unless said otherwise.\n\n" + table(
        ("work", "must", "aim", "measured", "spread", ""), rows
    )


def _works(results: dict[str, Any], title: str, keys: Sequence[str]) -> str:
    rows = []
    unit = "call"
    for key in keys:
        work = results["works"].get(key)
        if work is None:
            continue
        ours = work["clients"].get("ours")
        unit = work["unit"]
        shown = work["title"]
        for client, figures in work["clients"].items():
            faster = slimmer = ""
            if ours and client != "ours":
                faster = _spread(ratios(ours["rate"], figures["rate"])) + "x"
                slimmer = _spread(ratios(ours["cpu"], figures["cpu"]))
            busy = f"{middle(figures['node']) * 100:.0f} %" if "node" in figures else ""
            rate, cpu = number(middle(figures["rate"])), number(middle(figures["cpu"]))
            rows.append((shown, PEERS[client].title, rate, cpu, faster, slimmer, busy))
            shown = ""
    head = (
        "work",
        "client",
        f"{unit}s/s",
        f"CPU, µs/{unit}",
        "trio_esdb is faster by",
        "and takes of its CPU",
        "node busy",
    )
    found = table(head, rows)
    return f"## {title}\n\n{found}" if found else ""


def _series(results: dict[str, Any], title: str, keys: dict[str, str]) -> str:
    """One kind of work as it grows: rates, and by how much trio_esdb is faster."""
    works = {key: results["works"][key] for key in keys if key in results["works"]}
    if len(works) < 2:
        return ""
    rows = []
    for client, peer in PEERS.items():
        cells = [_cell(work["clients"], client) for work in works.values()]
        if sum(map(bool, cells)) > 1:
            rows.append((peer.title, *cells))
    return f"## {title}\n\n" + table(("client", *(keys[key] for key in works)), rows)


def _cell(clients: dict[str, Any], client: str) -> str:
    if client not in clients:
        return ""
    rate = number(middle(clients[client]["rate"]))
    if client == "ours" or "ours" not in clients:
        return rate
    return f"{rate}; {_spread(ratios(clients['ours']['rate'], clients[client]['rate']))}x"


def _memory(results: dict[str, Any]) -> str:
    rows = []
    for key in ("keep", "idle-1", "idle-10", "idle-100", "idle-1000"):
        work = results["works"].get(key)
        if work is None:
            continue
        shown = work["title"]
        for client, figures in work["clients"].items():
            each = middle(figures["bytes"])
            rows.append(
                (
                    shown,
                    PEERS[client].title,
                    f"{number(max(each, 0))} bytes a{'n' if key == 'keep' else ''} {work['unit']}",
                )
            )
            shown = ""
    parts = [table(("", "client", "resident memory"), rows)]
    slow = results["works"].get("slow", {}).get("clients", {})
    marks = sorted({int(mark) for figures in slow.values() for mark in figures["peaks"][0]})
    if marks:
        slow_rows = [
            (
                PEERS[client].title,
                *(
                    f"{middle([one[str(mark)] for one in figures['peaks']]) / MIB:.2f}"
                    if str(mark) in figures["peaks"][0]
                    else ""
                    for mark in marks
                ),
            )
            for client, figures in slow.items()
        ]
        head = ("client", *(f"after {mark:,} events".replace(",", " ") for mark in marks))
        parts.append(
            "A slow reader: the most memory so far above that of the idle client, MiB.\n\n" + table(head, slow_rows)
        )
    found = "\n".join(part for part in parts if part)
    return f"## Memory\n\n{found}" if found else ""


def _footprint(footprint: dict[str, Any]) -> str:
    rows = []
    for what, clients in footprint.get("imports", {}).items():
        for client, samples in clients.items():
            rows.append(
                (
                    what,
                    PEERS[client].title,
                    f"{_spread([s['seconds'] * 1e3 for s in samples])} ms",
                    f"{number(middle([s['cpu'] * 1e3 for s in samples]))} ms",
                    f"{middle([s['bytes'] for s in samples]) / MIB:.1f} MiB",
                    f"{middle([s['modules'] for s in samples]):.0f}",
                )
            )
    parts = [table(("up to", "client", "time", "CPU", "memory", "modules"), rows)]
    for what, size in footprint.get("sizes", {}).items():
        if "bytes" in size:
            each = ", ".join(f"{name} {part / MIB:.2f}" for name, part in size["parts"].items() if part >= MIB / 100)
            parts.append(f"Installed, {what}: **{size['bytes'] / MIB:.2f} MiB** ({each}).\n")
    found = "\n".join(part for part in parts if part)
    return f"## Import and installed size\n\n{found}" if found else ""


def _embedded(embedded: dict[str, Any]) -> str:
    rows = [
        (
            f"{mark['events']:,}".replace(",", " "),
            f"{mark['append']:.1f}",
            f"{mark['read']:.1f}",
            f"{mark['bytes']:.0f}",
        )
        for mark in embedded.get("growth", ())
    ]
    found = table(("events in the store", "append, µs/event", "read, µs/event", "memory, bytes/event"), rows)
    if not found:
        return ""
    return (
        "## The embedded node\n\nNode and client in one process, medians of three stores. For each step: appending, 500"
        " events a call, and reading the last 20 000.\n\n" + found
    )


def _skipped(results: dict[str, Any]) -> str:
    lines = [
        f"- {work['title']}, {PEERS[client].title}: {why}"
        for work in results["works"].values()
        for client, why in work["errors"].items()
    ]
    lines += [f"- {why}" for why in results["skipped"]]
    return "## Left out\n\n" + "\n".join(lines) + "\n" if lines else ""


def _method(results: dict[str, Any]) -> str:
    if results["replays"]:
        node = (
            "The node is `benchmarks.replay`, a process that sends answers encoded beforehand, framed as real nodes "
            "frame them. *Packed*: whole messages gathered to DATA frames of a little over 4096 bytes, as recorded "
            "events come. *Live*: one message a frame, as new events come, many frames a segment. It keeps HTTP/2's "
            "books and takes any client."
        )
    else:
        node = "The node is a real one, which frames as it does; events were written to it beforehand."
    pinned = " The clients are held on one processor, the node on another." if results["pinned"] else ""
    return _METHOD.format(node=node, pinned=pinned, rounds=results["rounds"], pip=" ".join(PIP), pure=" ".join(PURE))
