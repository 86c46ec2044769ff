"""Clients take turns at a work, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from . import peers
from .processes import Client, Failed, Node
from .works import Work

Samples = dict[str, list[dict[str, Any]]]
Say = Callable[[str], None]
Secure = tuple[Node, str]


def alternate(
    work: Work, node: Node, core: int | None, rounds: int, share: float, say: Say, secure: Secure | None = None
) -> dict[str, Any]:
    """The samples of each client, round by round, and why some clients have none.

    ``secure`` is a node with TLS, and the path of its authority's certificate; all clients but one use it.
    """
    samples: Samples = {client: [] for client in work.clients}
    errors: dict[str, str] = {}
    with ExitStack() as stack:
        running: dict[str, Client] = {}
        # The first round warms everything up and is not counted.
        for turn in range(0 if work.fresh else -1, work.rounds or rounds):
            for client in _rotated(work.clients, turn):
                if client in errors:
                    continue
                used, authority = (node, "") if secure is None or client == peers.PLAIN else secure
                job = {**work.job(client, share), "address": used.address, "certificate": authority}
                try:
                    if work.fresh:
                        with Client(peers.command(client, core)) as program:
                            found = program.perform(job, used)
                    else:
                        if client not in running:
                            running[client] = stack.enter_context(Client(peers.command(client, core)))
                        found = running[client].perform(job, used)
                except (Failed, peers.Absent) as exc:
                    errors[client] = str(exc)
                    say(f"  {peers.PEERS[client].title}: {exc}")
                else:
                    if turn >= 0:
                        samples[client].append(found)
    return {
        "title": work.title,
        "unit": work.unit,
        "per_call": work.per_call,
        "clients": {client: _figures(found) for client, found in samples.items() if client not in errors},
        "errors": errors,
    }


def _rotated(clients: tuple[str, ...], turn: int) -> tuple[str, ...]:
    first = turn % len(clients)
    return clients[first:] + clients[:first]


def _figures(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """What samples mean, a list of each figure."""
    figures: dict[str, Any] = {
        "rate": [one["units"] / one["seconds"] for one in samples],
        "cpu": [one["cpu"] / one["units"] * 1e6 for one in samples],
    }
    for name in ("bytes", "node", "peaks"):
        if samples and name in samples[0]:
            figures[name] = [one[name] for one in samples]
    return figures


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours to theirs, round by round."""
    return [one / other for one, other in zip(ours, theirs, strict=False) if other > 0]


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)
