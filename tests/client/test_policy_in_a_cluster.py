"""The cells of the policy for trouble with several nodes: the leader makes trouble once, and another node leads then.

What must come of each is that of a single node (``test_policy``), but for a connection that cannot be used: there are
others. What is new is where the second attempt goes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from tests.client import test_policy
from tests.client.test_policy import AGAIN, CALLS, EXPECTED, ONE, OVERDUE, SECONDS, WAYS, WRITES, Call, Middle, Way
from tests.support.scripted import ScriptedNodes, Seen, not_leader
from trio_esdb import ESDBClient
from trio_esdb._rpc import POLICY, CallKind, Trouble

K, T = CallKind, Trouble
SAME_NODE = {T.SERVER_TIMEOUT, T.CALM, T.TOO_SLOW, T.CLEAN_END, T.DROPPED}
"""Nothing is wrong with the node, as far as is known."""


class Scene:
    """A cluster whose leader makes trouble in the first attempt of a call, and leads no more then."""

    def __init__(self, nursery: trio.Nursery, trouble: Trouble, way: Way) -> None:
        self.nodes = ScriptedNodes(nursery, "a", "b", "c")
        self.nodes.cluster("a")
        self.began = 0.0
        self.attempts: list[tuple[float, str]] = []
        """When the attempts came, in seconds after the call began, and to which node."""
        self._trouble = trouble
        self._way = way
        self._gone = False
        for name, node in self.nodes.nodes.items():
            for method in ("Read", "Append", "Delete", "Tombstone", "Consume"):
                node.script[method] = partial(self._answer, name)

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """The first leader cannot be reached any more, if that is the trouble."""
        if self._gone and host == "a":
            if not self.attempts:
                self.attempts.append((trio.current_time() - self.began, "a"))
            if self._trouble is T.NEVER_SENT:
                raise ConnectionRefusedError(111, "Connection refused")
            ours, theirs = trio.testing.memory_stream_pair()
            await theirs.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return ours
        return await self.nodes.connect(host, port)

    async def _answer(self, name: str, seen: Seen) -> bytes | None:
        if seen.method == "Read" and seen.read.read_direction and self._subscribing:
            await test_policy.tells(seen)
            return None
        if name == "c":
            await not_leader("b")(seen)
        self.attempts.append((trio.current_time() - self.began, name))
        if len(self.attempts) == 1 and self._way.script is not None:
            self.nodes.cluster("b")
            answer = await self._way.script(seen)
            return answer if isinstance(answer, bytes) else None
        return await test_policy.does(seen)

    async def call(self, call: Call, **more: Any) -> Any:
        """Make the call, once there is the trouble."""
        self._subscribing = call.kind is K.SUBSCRIPTION
        async with ESDBClient(self.nodes.uri, connect=self.connect, random=Middle()) as client:
            await trio.testing.wait_all_tasks_blocked()
            if self._way.script is None:
                self._gone = True
                self.nodes.cluster("b")
                for stream in self.nodes["a"].streams:
                    await trio.aclose_forcefully(stream)
                await trio.testing.wait_all_tasks_blocked()
            self.began = trio.current_time()
            return await call.make(client, **more)


def ways(trouble: Trouble) -> dict[str, Way]:
    """How the trouble is made; nodes are named as they are here."""
    if trouble is not T.NOT_LEADER:
        return WAYS[trouble]
    error = WAYS[trouble]["nobody"].error
    named = {"b": "the leader", "c": "another follower", "a": "itself", "nowhere": "no node"}
    return {text: Way(not_leader(name), error, False) for name, text in named.items()} | {
        "nobody": WAYS[trouble]["nobody"]
    }


CELLS = [
    pytest.param(trouble, way, call, id=f"{trouble.name}: {way}: {call}")
    for trouble in POLICY
    for way in ways(trouble)
    for call in CALLS
    if CALLS[call].kind in POLICY[trouble]
]


@pytest.mark.parametrize(("trouble", "way", "name"), CELLS)
async def test_cell(nursery: trio.Nursery, trouble: Trouble, way: str, name: str) -> None:
    call, made = CALLS[name], ways(trouble)[way]
    expected = AGAIN if trouble is T.UNUSABLE else EXPECTED[trouble][call.kind]
    scene = Scene(nursery, trouble, made)
    more = {"timeout": 3} if trouble is T.OWN_DEADLINE else {}
    if expected in (AGAIN, ONE):
        assert await scene.call(call, **more) == call.result
        *_, (seconds, node) = scene.attempts
        if expected == ONE or trouble in SAME_NODE:
            assert node == "a"
        else:
            assert node == "b"
        # A reason to wait is nothing that has to do with the other node; a search takes no time here.
        assert SECONDS.get(trouble, 0.0) <= seconds <= SECONDS.get(trouble, 0.0) + 0.2
        return
    with pytest.raises(made.error) as caught:
        await scene.call(call, **more)
    assert [node for _, node in scene.attempts] == ["a"]
    assert getattr(caught.value, "address", "a:2113") == "a:2113"
    if call.kind in WRITES:
        assert caught.value.applied is made.applied
    if expected == OVERDUE:
        assert trio.current_time() - scene.began == pytest.approx(3)


@pytest.mark.parametrize(("trouble", "way", "name"), CELLS)
async def test_cell_switched_off(nursery: trio.Nursery, trouble: Trouble, way: str, name: str) -> None:
    """Only what was never sent is sent again, and a node that closes may finish."""
    call, made = CALLS[name], ways(trouble)[way]
    scene = Scene(nursery, trouble, made)
    more: dict[str, Any] = {"retry": False}
    if trouble is T.OWN_DEADLINE:
        more["timeout"] = 3
    if trouble in (T.NEVER_SENT, T.UNUSABLE):
        assert await scene.call(call, **more) == call.result
        assert scene.attempts[-1][1] == "b"
    elif trouble is T.DRAINING and call.kind not in (K.SUBSCRIPTION, K.GROUP):
        assert await scene.call(call, **more) == call.result
        assert [node for _, node in scene.attempts] == ["a"]
    else:
        with pytest.raises((made.error, trio.EndOfChannel)):
            await scene.call(call, **more)
        assert [node for _, node in scene.attempts] == ["a"]
