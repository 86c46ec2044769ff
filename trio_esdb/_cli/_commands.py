"""The commands of ``trio-esdb serve --nodes``: a line each, each answered by a line.

The answer to a command comes at once, when it has been given, and not when all of its consequences have come: ``nodes``
shows these. An answer that begins with ``error:`` says that nothing was done, why, and what can be done instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from trio_esdb._errors import ESDBError

from . import _input

if TYPE_CHECKING:
    from trio_esdb.testing import ClusterNode, EmbeddedCluster

_ALLOWED = "nodes, kill N, terminate N, restart N, freeze N, wake N, resign, partition N, heal"
_NUMBER = re.compile("[0-9]{1,9}")
_LONGEST_SHOWN = 40


class _CommandError(Exception):
    """A command that cannot be done; says why."""


class Commands:
    """What can be done to a cluster by a line of text.

    Args:
        cluster: The cluster.
    """

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._cluster = cluster
        self._of_node: dict[str, tuple[Callable[[ClusterNode], None], str]] = {
            "kill": (lambda node: node.kill(), "is killed"),
            "terminate": (lambda node: node.terminate(), "is told to end"),
            "restart": (lambda node: node.restart(), "starts"),
            "freeze": (lambda node: node.freeze(), "is frozen"),
            "wake": (lambda node: node.wake(), "goes on"),
            "partition": (cluster.partition, "is parted from the others"),
        }
        self._plain: dict[str, Callable[[], str]] = {"nodes": self._nodes, "resign": self._resign, "heal": self._heal}

    async def run(self) -> None:
        """Answer the lines of standard input until it ends.

        Raises:
            OSError: Nobody reads the answers any more.
        """
        lines = _input.Lines()
        while data := await _input.read():
            for line in lines.feed(data):
                await _input.write(self.answer(line))
        for line in lines.end():
            await _input.write(self.answer(line))

    def answer(self, line: str | None) -> str:
        """Do what a line says.

        Args:
            line: The line; None for one that is too long.

        Returns:
            A line for the one who gave the command.
        """
        try:
            return self._do(line)
        except (_CommandError, RuntimeError, ESDBError) as exc:
            return f"error: {exc}"

    def _do(self, line: str | None) -> str:
        if line is None:
            raise _CommandError(f"the line is too long; a line is one of {_ALLOWED}")
        name, *arguments = line.split() or [""]
        if name in self._plain:
            if arguments:
                raise _CommandError(f"{name} takes nothing else; a line is one of {_ALLOWED}")
            return self._plain[name]()
        if name in self._of_node:
            if len(arguments) != 1:
                raise _CommandError(f"{name} takes the number of one node, from 1 to {len(self._cluster.nodes)}")
            node = self._node(arguments[0])
            do, done = self._of_node[name]
            do(node)
            return f"node {node.number} {done}"
        raise _CommandError(f"{_shown(name)} is no command; a line is one of {_ALLOWED}")

    def _node(self, text: str) -> ClusterNode:
        nodes = self._cluster.nodes
        if _NUMBER.fullmatch(text) and 1 <= int(text) <= len(nodes):
            return nodes[int(text) - 1]
        raise _CommandError(f"there is no node {_shown(text)}: they are numbered from 1 to {len(nodes)}")

    def _nodes(self) -> str:
        return "; ".join(f"{node.number} {node.address} {_state(node)}" for node in self._cluster.nodes)

    def _resign(self) -> str:
        leader = self._cluster.leader
        if leader is None:
            raise _CommandError("no node leads now; nodes tells their states")
        leader.resign()
        return f"node {leader.number} resigns"

    def _heal(self) -> str:
        self._cluster.heal()
        return "all nodes reach each other"


def _state(node: ClusterNode) -> str:
    if node.state is None:
        return "Stopped"
    return "Frozen" if node.is_frozen else str(node.state)


def _shown(text: str) -> str:
    """What somebody wrote, on one line and not too long."""
    return ascii(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")
