"""``python -m benchmarks.versus CHECKOUT`` compares this tree with another checkout of the project.

Both do every work of the benchmarks that this client does, in turn and on the same processor, so that noise of the
machine falls on both alike. Each checkout runs with its own ``.venv``, or with the interpreter of ``--python``. What is
printed is the median, over the rounds, of the other tree's cost divided by this tree's: above 1 this tree is better.
The exit code is 1 if a figure is worse by more than ``--allow``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .alternation import middle
from .footprint import import_of
from .peers import OURS
from .processes import ROOT, Client, Node, certificates, cores
from .works import EMBEDDED, Work, works

Sample = dict[str, Any]


class Tree(NamedTuple):
    """A checkout and the interpreter that runs it."""

    root: Path
    python: str

    def command(self, program: str, core: int | None) -> list[str]:
        """What starts a client's program of this tree."""
        pinned = [] if core is None else [str(core)]
        return [self.python, "-m", f"benchmarks.clients.{program}", *pinned]


class Figure(NamedTuple):
    """What one work costs in both trees, a sample a round; less is better."""

    text: str
    here: list[float]
    there: list[float]

    @property
    def ratio(self) -> float:
        """How many times as much the other tree needs. Where both need too little to be measured, that is once."""
        return middle([max(there, 1.0) / max(here, 1.0) for here, there in zip(self.here, self.there, strict=True)])


def main() -> int:
    """Compare, print a line for each figure."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.versus", description=__doc__)
    arguments.add_argument("checkout", type=Path, help="the other checkout")
    arguments.add_argument("--python", default="", help="its interpreter (default: its .venv/bin/python)")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--share", type=float, default=0.5, help="how much of each work is done at a time")
    arguments.add_argument("--only", default="", help="names of works, with commas between")
    arguments.add_argument("--allow", type=float, default=0.05, help="by how much a figure may be worse")
    options = arguments.parse_args()
    checkout = options.checkout.resolve()
    here = Tree(ROOT, sys.executable)
    there = Tree(checkout, options.python or str(checkout / ".venv" / "bin" / "python"))
    worse = 0
    for figure in compare(here, there, options.rounds, options.share, set(filter(None, options.only.split(",")))):
        bad = figure.ratio < 1 - options.allow
        worse += bad
        shown = f"{middle(figure.there):.4g} -> {middle(figure.here):.4g}"
        print(f"{figure.ratio:5.2f}  {figure.text}: {shown}{'  WORSE' if bad else ''}", flush=True)
    return 1 if worse else 0


def compare(here: Tree, there: Tree, rounds: int, share: float, only: set[str]) -> Iterator[Figure]:
    """Every figure of both trees."""
    node_core, core = cores()
    if node_core is not None:
        os.sched_setaffinity(0, {node_core})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plain = stack.enter_context(Node(node_core))
        for work in works():
            if OURS in work.clients and (not only or work.key in only):
                node, authority = plain, ""
                if work.tls:
                    certificate, authority = certificates(folder)
                    node = stack.enter_context(Node(node_core, certificate=certificate))
                yield from _work(work, node, (here, there), core, rounds, share, authority)
        if not only or "import" in only:
            yield from _imports((here, there), core, rounds)
        nobody = stack.enter_context(Node(None, address="none"))
        for kind, job in EMBEDDED.items():
            if not only or f"embedded-{kind}" in only:
                measure = partial(_embedded, {"kind": kind, "address": "embedded", **job}, core, nobody)
                pairs = [_in_turn(turn, (here, there), measure) for turn in range(rounds)]
                yield _figure(f"embedded, {kind}: µs", pairs, lambda one: one["seconds"] / one["units"] * 1e6)


def _work(
    work: Work, node: Node, trees: tuple[Tree, Tree], core: int | None, rounds: int, share: float, authority: str
) -> Iterator[Figure]:
    job = {**work.job(OURS, share), "address": node.address, "certificate": authority}
    pairs: list[dict[Tree, Sample]] = []
    with ExitStack() as stack:
        running: dict[Tree, Client] = {}

        def perform(tree: Tree) -> Sample:
            if work.fresh:
                with Client(tree.command(OURS, core), tree.root) as program:
                    return program.perform(job, node)
            if tree not in running:
                running[tree] = stack.enter_context(Client(tree.command(OURS, core), tree.root))
            return running[tree].perform(job, node)

        for turn in range(0 if work.fresh else -1, min(work.rounds or rounds, rounds)):
            pair = _in_turn(turn, trees, perform)
            if turn >= 0:  # the first round warms up
                pairs.append(pair)
    if "bytes" in pairs[0][trees[0]]:
        yield _figure(f"{work.title}: bytes", pairs, lambda one: one["bytes"])
    elif "peaks" in pairs[0][trees[0]]:
        yield _figure(f"{work.title}: bytes", pairs, lambda one: float(max(one["peaks"].values())))
    else:
        yield _figure(f"{work.title}: µs", pairs, lambda one: one["seconds"] / one["units"] * 1e6)
        yield _figure(f"{work.title}: CPU µs", pairs, lambda one: one["cpu"] / one["units"] * 1e6)


def _in_turn(turn: int, trees: tuple[Tree, Tree], measure: Callable[[Tree], Sample]) -> dict[Tree, Sample]:
    """One round, in which the trees begin by turns; the samples are in the order of ``trees``."""
    found = {tree: measure(tree) for tree in (trees if turn % 2 else reversed(trees))}
    return {tree: found[tree] for tree in trees}


def _figure(text: str, pairs: list[dict[Tree, Sample]], value: Callable[[Sample], float]) -> Figure:
    here, there = zip(*(map(value, pair.values()) for pair in pairs), strict=True)
    return Figure(text, list(here), list(there))


def _imports(trees: tuple[Tree, Tree], core: int | None, rounds: int) -> Iterator[Figure]:
    pairs = [_in_turn(turn, trees, lambda tree: import_of(tree.root, tree.python, core)) for turn in range(-1, rounds)]
    yield _figure("import: ms", pairs[1:], lambda one: one["seconds"] * 1e3)
    yield _figure("import: bytes", pairs[1:], lambda one: one["bytes"])


def _embedded(job: dict[str, Any], core: int | None, nobody: Node, tree: Tree) -> Sample:
    with Client(tree.command("embedded", core), tree.root) as program:
        return program.perform(job, nobody)


if __name__ == "__main__":
    sys.exit(main())
