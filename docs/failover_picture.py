"""Draws docs/failover.svg, what a client notices of the loss of a leader: ``python docs/failover_picture.py``.

The picture is drawn from a simulation: the states of the nodes, the trace of what the client sent and received, and the
times of its calls. It is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

import trio

from trio_esdb import ESDBClient, NewEvent
from trio_esdb.testing import TraceEntry, World, simulate

FILE = Path(__file__).parent / "failover.svg"
SEED = 4
BEFORE, AFTER = 1.0, 4.0
"""Seconds of the picture, before and after the leader is killed."""

WIDTH, LEFT, TOP, LANE, BAR = 960, 130, 60, 58, 22
SCALE = (WIDTH - LEFT - 20) / (BEFORE + AFTER)
COLOURS = {
    "Leader": "#1b5e9b",
    "PreLeader": "#5b97cf",
    "Follower": "#b9d4ec",
    "Clone": "#dbe8f4",
    "CatchingUp": "#dbe8f4",
    "PreReplica": "#f3d9a4",
    "Unknown": "#f3b562",
    "no process": "#e6e6e6",
}
DARK = {"Leader", "PreLeader"}
WRITTEN, WAITED, RECEIVED, FRAME = "#2f855a", "#c05621", "#6b46c1", "#7a7a7a"


@dataclass
class Story:
    """What happened, with times in seconds from the kill."""

    killed: int = 0
    states: dict[int, list[tuple[float, str]]] = field(default_factory=dict)
    """Of each node: from when on it was in which state."""
    appends: list[tuple[float, float]] = field(default_factory=list)
    """When each append was begun, and when it had its answer."""
    received: list[float] = field(default_factory=list)
    """When the subscription gave an event."""
    frames: dict[int, list[float]] = field(default_factory=dict)
    """Of each node: when the client sent it a frame or received one."""


def tell() -> Story:
    """Let it happen."""
    story = Story()

    @simulate(schedule=[], seed=SEED, nodes=3)
    async def failover(world: World) -> None:
        async with world.client() as client, trio.open_nursery() as nursery:
            nursery.start_soon(_subscribe, world, client, story)
            nursery.start_soon(_watch, world, story)
            nursery.start_soon(_append, world, client, story)
            await trio.sleep(BEFORE + 1)
            leader = world.cluster.leader
            story.killed = leader.number
            zero = world.now
            leader.kill()
            await trio.sleep(AFTER + 1)
            nursery.cancel_scope.cancel()
        _count_from(story, zero, world)

    failover()
    return story


async def _append(world: World, client: ESDBClient, story: Story) -> None:
    """One append each 100 ms, whatever becomes of those before."""

    async def append(number: int) -> None:
        began = world.now
        await client.append_event(f"order-{number}", None, NewEvent("OrderPlaced", b"{}"))
        story.appends.append((began, world.now))

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(append, number)
            await trio.sleep(0.1)


async def _subscribe(world: World, client: ESDBClient, story: Story) -> None:
    async with client.subscribe_all_events(filter_include=["OrderPlaced"]) as events:
        async for _ in events:
            story.received.append(world.now)


async def _watch(world: World, story: Story) -> None:
    while True:
        for node in world.cluster.nodes:
            state = "no process" if node.state is None else str(node.state)
            seen = story.states.setdefault(node.number, [])
            if not seen or seen[-1][1] != state:
                seen.append((world.now, state))
        await trio.sleep(0.01)


def _count_from(story: Story, zero: float, world: World) -> None:
    story.states = {number: [(at - zero, state) for at, state in seen] for number, seen in story.states.items()}
    story.appends = sorted((began - zero, ended - zero) for began, ended in story.appends)
    story.received = [at - zero for at in story.received]
    numbers = {node.address: node.number for node in world.cluster.nodes}
    for entry in world.trace:
        number = _node_of(entry, numbers)
        if number is not None and entry.direction in "<>":
            story.frames.setdefault(number, []).append(entry.time - zero)


def _node_of(entry: TraceEntry, numbers: dict[str, int]) -> int | None:
    return numbers.get(entry.connection.rpartition(" ")[2])


# -- drawing ---------------------------------------------------------------------------------------------------------


def svg() -> str:
    """The picture."""
    story = tell()
    parts = [*_axis(), *_legend()]
    for lane, number in enumerate(sorted(story.states)):
        parts += _node(story, number, TOP + lane * LANE)
    bottom = TOP + len(story.states) * LANE
    parts += _appends(story, bottom)
    parts += _received(story, bottom + LANE + 16)
    height = bottom + 2 * LANE + 50
    parts.insert(0, f'<line x1="{_x(0)}" y1="{TOP - 22}" x2="{_x(0)}" y2="{height - 36}" stroke="#b00020"/>')
    parts.append(_text(_x(0.03), TOP - 26, f"node {story.killed} is killed", fill="#b00020"))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12" role="img">\n<title>The leader of a cluster is killed</title>\n'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _x(at: float) -> str:
    return f"{LEFT + (at + BEFORE) * SCALE:.1f}"


def _inside(at: float) -> bool:
    return -BEFORE <= at <= AFTER


def _text(x: str | float, y: float, text: str, *, fill: str = "#222", anchor: str = "start") -> str:
    x = x if isinstance(x, str) else f"{x:.1f}"
    return f'<text x="{x}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}">{escape(text)}</text>'


def _axis() -> Iterable[str]:
    for second in range(-int(BEFORE), int(AFTER) + 1):
        yield f'<line x1="{_x(second)}" y1="{TOP - 8}" x2="{_x(second)}" y2="{TOP + 5 * LANE}" stroke="#ddd"/>'
        yield _text(_x(second), TOP + 5 * LANE + 16, f"{second} s", anchor="middle")


def _legend() -> Iterable[str]:
    x = float(LEFT)
    for colour, text in (
        (FRAME, "frames to or from the client"),
        (WRITTEN, "append, answered at once"),
        (WAITED, "append that had to wait"),
        (RECEIVED, "event received"),
    ):
        yield f'<rect x="{x:.1f}" y="12" width="12" height="8" fill="{colour}"/>'
        yield _text(x + 17, 20, text)
        x += 34 + 6.4 * len(text)


def _node(story: Story, number: int, y: float) -> Iterable[str]:
    yield _text(12, y + 15, f"node {number}")
    seen = [*story.states[number], (AFTER, "")]
    for (begin, state), (end, _) in pairwise(seen):
        left, right = max(begin, -BEFORE), min(end, AFTER)
        if right <= left:
            continue
        width = (right - left) * SCALE
        yield f'<rect x="{_x(left)}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLOURS[state]}"/>'
        if width > 7 * len(state):
            yield _text(_x(left + 4 / SCALE), y + 15, state, fill="white" if state in DARK else "#222")
    for at in sorted({round(at, 2) for at in story.frames.get(number, ()) if _inside(at)}):
        yield f'<line x1="{_x(at)}" y1="{y + BAR + 3}" x2="{_x(at)}" y2="{y + BAR + 11}" stroke="{FRAME}"/>'


def _appends(story: Story, y: float) -> Iterable[str]:
    yield _text(12, y + 15, "appends")
    waiting = 0
    for began, ended in story.appends:
        if not _inside(began):
            continue
        if ended - began < 0.1:
            yield f'<circle cx="{_x(began)}" cy="{y + 12}" r="3.5" fill="{WRITTEN}"/>'
            continue
        at = y + 4 + 5 * waiting
        waiting += 1
        end = _x(min(ended, AFTER))
        yield f'<line x1="{_x(began)}" y1="{at}" x2="{end}" y2="{at}" stroke="{WAITED}" stroke-width="2"/>'
        yield f'<circle cx="{end}" cy="{at}" r="2.5" fill="{WAITED}"/>'


def _received(story: Story, y: float) -> Iterable[str]:
    yield _text(12, y + 15, "subscription")
    for at in story.received:
        if _inside(at):
            yield f'<circle cx="{_x(at)}" cy="{y + 12}" r="3.5" fill="{RECEIVED}"/>'


if __name__ == "__main__":
    FILE.write_text(svg())
