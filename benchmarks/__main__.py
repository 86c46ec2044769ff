"""``python -m benchmarks`` measures and writes benchmarks/RESULTS.md; ``--quick`` answers in two minutes."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from . import footprint, peers, plots, preparation, report
from .alternation import alternate, middle, ratios
from .processes import Client, Failed, Node, certificates, cores
from .targets import findings
from .works import EMBEDDED, LONG_READ, Work, works

_FOLDER = Path(__file__).parent
_QUICK_SHARE = 0.4
_STORES = 3
"""So many stores are grown; of each step the middle one counts, since some have a garbage collection in them."""
_STORE_SIZES = tuple(range(100_000, 1_000_001, 100_000))


def main() -> None:
    """Measure and report."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="fewer works, fewer rounds: an answer in two minutes")
    arguments.add_argument(
        "--address", default="", help="HOST:PORT of a real node without TLS; events are written to it"
    )
    arguments.add_argument("--only", default="", help="names of works, with commas between; writes no report")
    arguments.add_argument("--rounds", type=int, default=0)
    options = arguments.parse_args()
    rounds = options.rounds or (3 if options.quick else 7)
    only = set(filter(None, options.only.split(",")))
    results = measure(options.quick, options.address, only, rounds)
    for finding in findings(results):
        if finding.found:
            limits = finding.must + (f", aim {finding.aim}" if finding.aim else "")
            print(f"{finding.text}: {finding.found} ({limits}): {finding.verdict.strip('*')}")
    if not only:
        name = "RESULTS-quick" if options.quick else "RESULTS"
        folder = Path(tempfile.gettempdir()) if options.quick else _FOLDER
        drawn = [] if options.quick else plots.draw(results, _FOLDER / "plots")
        report.write(results, folder / f"{name}.md", drawn)
        (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
        print(f"written: {folder / name}.md")


def measure(quick: bool, address: str, only: set[str], rounds: int) -> dict[str, Any]:
    """All figures of a run."""
    node_core, core = cores()
    this_machine = machine()
    if node_core is not None:
        os.sched_setaffinity(0, {node_core})
    share = _QUICK_SHARE if quick else 1.0
    results: dict[str, Any] = {
        "mode": "quick" if quick else "full",
        "rounds": rounds,
        "machine": this_machine,
        "node": "a real one" if address else "benchmarks.replay",
        "replays": not address,
        "pinned": core is not None,
        "versions": peers.versions(),
        "works": {},
        "skipped": [],
    }
    chosen = [work for work in works() if (work.key in only if only else work.quick or not quick)]
    if address:
        results["skipped"].append("TLS and the long read: only with a replay node")
        chosen = [work for work in chosen if not work.tls and work.count < LONG_READ]
        jobs = [work.job(client, share)["stream"] for work in chosen for client in work.clients]
        preparation.prepare(address, ["bench-200-packed-100", *jobs])
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = stack.enter_context(Node(node_core, address=address))
        for work in chosen:
            began = time.monotonic()
            try:
                results["works"][work.key] = _one(work, node, node_core, core, rounds, share, folder)
            except ImportError as exc:
                results["skipped"].append(f"{work.title}: {exc}")
                continue
            print(
                f"{work.title}: {_summary(results['works'][work.key])} [{time.monotonic() - began:.0f} s]", flush=True
            )
        if not only or "import" in only:
            results["footprint"] = {"imports": footprint.imports(node.address, core, rounds)}
            print("import: measured", flush=True)
    if (not only and not quick) or "size" in only:
        sizes = footprint.installed_sizes(results["versions"]["kurrentdbclient"])
        results.setdefault("footprint", {})["sizes"] = sizes
    if not only or "embedded" in only:
        results["embedded"] = embedded(core, rounds, () if quick else _STORE_SIZES)
    return results


def _one(
    work: Work, node: Node, node_core: int | None, core: int | None, rounds: int, share: float, folder: Path
) -> dict[str, Any]:
    if not work.tls:
        return alternate(work, node, core, rounds, share, print)
    certificate, authority = certificates(folder)
    with Node(node_core, certificate=certificate) as secure:
        return alternate(work, node, core, rounds, share, print, (secure, authority))


def _summary(work: dict[str, Any]) -> str:
    clients = work["clients"]
    figure = "bytes" if any("bytes" in figures for figures in clients.values()) else "rate"
    found = []
    for client, figures in clients.items():
        text = f"{client} {report.number(max(middle(figures[figure]), 0))}"
        if client != "ours" and "ours" in clients:
            against = ratios(clients["ours"][figure], figures[figure])
            text += f" ({middle(against):.2f}x)" if against else ""
        found.append(text)
    return ", ".join(found)


def embedded(core: int | None, rounds: int, store_sizes: tuple[int, ...]) -> dict[str, Any]:
    """Figures of the embedded node, each sample by a process of its own."""
    found: dict[str, Any] = {"errors": {}}
    with Node(None, address="none") as nobody:
        for kind, what in EMBEDDED.items():
            try:
                found[kind] = [_embedded_sample({"kind": kind, **what}, core, nobody) for _ in range(rounds)]
            except Failed as exc:
                found["errors"][kind] = str(exc)
                print(f"embedded, {kind}: {exc}", flush=True)
            else:
                print(f"embedded, {kind}: {middle([s['units'] / s['seconds'] for s in found[kind]]):.0f}/s", flush=True)
        if store_sizes:
            job: dict[str, Any] = {"kind": "growth", "count": store_sizes[-1], "marks": store_sizes}
            try:
                stores = [_embedded_sample(job, core, nobody)["marks"] for _ in range(min(rounds, _STORES))]
                found["growth"] = [
                    {what: middle([mark[what] for mark in marks]) for what in marks[0]}
                    for marks in zip(*stores, strict=True)
                ]
            except Failed as exc:
                found["errors"]["growth"] = str(exc)
    return found


def _embedded_sample(job: dict[str, Any], core: int | None, nobody: Node) -> dict[str, Any]:
    with Client(peers.command("embedded", core)) as program:
        return program.perform({"address": "embedded", **job}, nobody)


def machine() -> str:
    """The machine in words."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB of memory"
    return f"{usable} processors ({cpu}){memory}, {platform.system()} {platform.release().split('-')[0]}"


if __name__ == "__main__":
    main()
