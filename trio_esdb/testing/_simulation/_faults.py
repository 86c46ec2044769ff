"""The faults of a simulation, as values: what happens, when, to which node, and for how long.

A fault that lasts carries its own end. So any fault can be left out of a schedule, and the rest is a schedule as well.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, fields
from typing import TYPE_CHECKING

from trio_esdb._errors import InvalidArgumentError
from trio_esdb.testing._cable import Ending, Side
from trio_esdb.testing._faults import ENDINGS, SIDES

if TYPE_CHECKING:
    from ._stage import Stage


@dataclass(frozen=True, repr=False)
class Fault(ABC):
    """A fault of a schedule. Its ``repr`` is the code that makes it."""

    at: float = 0.0
    """When, in seconds since the world began. ``World.at`` has a time of its own, and ignores this one."""

    def __post_init__(self) -> None:
        self._check("at", _is_number(self.at) and 0 <= self.at < math.inf, "seconds from 0 on")

    def __repr__(self) -> str:
        given = (
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name in ("at", "node") or getattr(self, field.name) != field.default
        )
        return f"{type(self).__name__}({', '.join(given)})"

    @property
    def _nodes(self) -> tuple[int, ...]:
        """The numbers of the nodes that it names."""
        return ()

    @property
    def _duration(self) -> float:
        """Seconds until it ends by itself; infinite if it does not, 0 if there is nothing to end."""
        return 0.0

    @abstractmethod
    def _begin(self, stage: Stage) -> None:
        """Let it happen."""

    async def _end(self, stage: Stage) -> None:  # noqa: B027 - many have nothing to undo
        """Undo it. Cancelled when everything is healed."""

    def _check(self, name: str, right: bool, wanted: str) -> None:
        if not right:
            value = getattr(self, name)
            raise InvalidArgumentError(f"{name}= of {type(self).__name__} must be {wanted}, not {value!r}")


@dataclass(frozen=True, repr=False)
class _Lasting(Fault):
    _: KW_ONLY
    lasts: float | None = None
    """Seconds until it ends; None is until everything is healed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        right = self.lasts is None or (_is_number(self.lasts) and 0 < self.lasts < math.inf)
        self._check("lasts", right, "seconds above 0, or None")

    @property
    def _duration(self) -> float:
        return math.inf if self.lasts is None else self.lasts


@dataclass(frozen=True, repr=False)
class _OfNode(Fault):
    node: int = 1
    """The number of the node; the first is 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("node", _is_node(self.node), "the number of a node, from 1 on")

    @property
    def _nodes(self) -> tuple[int, ...]:
        return (self.node,)


@dataclass(frozen=True, repr=False)
class _OfConnections(Fault):
    node: int | None = None
    """The number of the node whose connections with clients are meant; None is all nodes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("node", self.node is None or _is_node(self.node), "the number of a node, from 1 on, or None")

    @property
    def _nodes(self) -> tuple[int, ...]:
        return () if self.node is None else (self.node,)


# -- nodes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Kill(_Lasting, _OfNode):
    """A node's process is killed. When the fault ends, it is started again on the same data."""

    def _begin(self, stage: Stage) -> None:
        stage.kill(self.node)

    async def _end(self, stage: Stage) -> None:
        await stage.start_again(self.node)


@dataclass(frozen=True, repr=False)
class Terminate(_Lasting, _OfNode):
    """A node is told to end, as by SIGTERM; it serves a few seconds more. It is started again when the fault ends."""

    def _begin(self, stage: Stage) -> None:
        stage.terminate(self.node)

    async def _end(self, stage: Stage) -> None:
        await stage.start_again(self.node)


@dataclass(frozen=True, repr=False)
class Freeze(_Lasting, _OfNode):
    """A node's process stands still, as by SIGSTOP: its machine takes connections, and nothing is said."""

    def _begin(self, stage: Stage) -> None:
        stage.freeze(self.node)

    async def _end(self, stage: Stage) -> None:
        stage.wake(self.node)


@dataclass(frozen=True, repr=False)
class Wipe(_Lasting, _OfNode):
    """A node's process is killed and its data is lost. When the fault ends, it is started again without data.

    Drawn schedules do not have this fault: as in a real cluster, it can lose what was acknowledged.
    """

    def _begin(self, stage: Stage) -> None:
        stage.wipe(self.node)

    async def _end(self, stage: Stage) -> None:
        await stage.start_again(self.node)


@dataclass(frozen=True, repr=False)
class Resign(_OfNode):
    """A node gives up leadership. Nothing happens if it does not lead."""

    def _begin(self, stage: Stage) -> None:
        stage.resign(self.node)


@dataclass(frozen=True, repr=False)
class SetPriority(_OfNode):
    """A node gets a priority for the next elections."""

    priority: int = 0
    """Of nodes with the same data, the one with the highest is elected."""

    def __post_init__(self) -> None:
        super().__post_init__()
        right = isinstance(self.priority, int) and not isinstance(self.priority, bool)
        self._check("priority", right, "a whole number")

    def _begin(self, stage: Stage) -> None:
        stage.set_priority(self.node, self.priority)


@dataclass(frozen=True, repr=False)
class Partition(_Lasting):
    """Some nodes and the others cannot reach each other. Clients reach all of them."""

    nodes: tuple[int, ...] = (1,)
    """The numbers of the nodes on one side."""
    one_way: bool = False
    """Whether only what these nodes send is lost."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.nodes, Iterable):
            object.__setattr__(self, "nodes", tuple(self.nodes))
        right = isinstance(self.nodes, tuple) and bool(self.nodes) and all(map(_is_node, self.nodes))
        self._check("nodes", right, "the numbers of some nodes, from 1 on")

    @property
    def _nodes(self) -> tuple[int, ...]:
        return self.nodes

    def _begin(self, stage: Stage) -> None:
        stage.part(self, self.nodes, one_way=self.one_way)

    async def _end(self, stage: Stage) -> None:
        stage.join(self)


# -- connections between clients and nodes -----------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Reset(_OfConnections):
    """The open connections break at once."""

    def _begin(self, stage: Stage) -> None:
        stage.route(self.node).reset()


@dataclass(frozen=True, repr=False)
class Close(_OfConnections):
    """The open connections end in an orderly way, as a proxy ends them."""

    def _begin(self, stage: Stage) -> None:
        stage.route(self.node).close()


@dataclass(frozen=True, repr=False)
class HalfOpen(_OfConnections):
    """The node's end of the open connections is gone, and the clients are not told."""

    def _begin(self, stage: Stage) -> None:
        stage.route(self.node).half_open()


@dataclass(frozen=True, repr=False)
class Cut(_OfConnections):
    """Each open connection breaks after some further bytes. They still arrive."""

    _: KW_ONLY
    count: int = 0
    """The number of bytes."""
    to: Side = "client"
    """The side that they travel to: ``"client"`` or ``"server"``."""
    ending: Ending = "reset"
    """What comes then: ``"reset"``, ``"close"``, ``"half-open"`` or ``"hold"``, see ``Faults.cut_after``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        right = isinstance(self.count, int) and not isinstance(self.count, bool) and self.count >= 0
        self._check("count", right, "a number of bytes, from 0 on")
        self._check("to", self.to in SIDES, "'client' or 'server'")
        self._check("ending", self.ending in ENDINGS, f"one of {', '.join(map(repr, ENDINGS))}")

    def _begin(self, stage: Stage) -> None:
        for connection in stage.route(self.node).connections:
            if connection.is_open:
                connection.cut_after(self.count, to=self.to, end=self.ending)


@dataclass(frozen=True, repr=False)
class Refuse(_Lasting, _OfConnections):
    """New connections are refused. Open ones are not affected."""

    def _begin(self, stage: Stage) -> None:
        stage.route(self.node).refuse()

    async def _end(self, stage: Stage) -> None:
        stage.route(self.node).accept()


@dataclass(frozen=True, repr=False)
class Hold(_Lasting, _OfConnections):
    """Nothing passes, and nothing is lost. New connections get no answer."""

    to: Side | None = None
    """The side that gets nothing, ``"client"`` or ``"server"``; None is both."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("to", self.to is None or self.to in SIDES, "'client', 'server' or None")

    def _begin(self, stage: Stage) -> None:
        stage.route(self.node).hold(to=self.to)

    async def _end(self, stage: Stage) -> None:
        stage.route(self.node).release(to=self.to)


@dataclass(frozen=True, repr=False)
class Slow(_Lasting, _OfConnections):
    """The bytes come slowly."""

    rate: float = 1000.0
    """How many bytes pass in a second."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("rate", _is_number(self.rate) and 0 < self.rate < math.inf, "bytes a second, above 0")

    def _begin(self, stage: Stage) -> None:
        stage.route(self.node).slow(self.rate)

    async def _end(self, stage: Stage) -> None:
        stage.route(self.node).slow(math.inf)


@dataclass(frozen=True, repr=False)
class Latency(_Lasting, _OfConnections):
    """The bytes take more time from one side to the other than usual."""

    least: float = 0.1
    """The least time, in seconds."""
    most: float | None = None
    """The most time, in seconds; None is always the least."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("least", _is_number(self.least) and 0 <= self.least < math.inf, "seconds from 0 on")
        right = self.most is None or (_is_number(self.most) and self.least <= self.most < math.inf)
        self._check("most", right, f"seconds from least={self.least!r} on, or None")

    def _begin(self, stage: Stage) -> None:
        stage.route(self.node).latency(self.least, self.most)

    async def _end(self, stage: Stage) -> None:
        stage.usual_latency(self.node)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_node(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
