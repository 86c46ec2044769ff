"""Ctrl-C at any line that trio does not protect: always KeyboardInterrupt, never an error of trio or a hang.

A trace function raises the signal when a line is reached for the first time, as the kernel may do at any line. Where
code is protected the signal has no effect on it, so those lines are tried in the transport only.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
import trio
import trio.testing

import trio_esdb
from tests.support.tls import HOST, roots, server_context
from trio_esdb import ESDBClient, NewEvent, StreamState
from trio_esdb.embedded import EmbeddedNode

_PACKAGE = Path(trio_esdb.__file__).parent
_TRANSPORT = (str(_PACKAGE / "_transport"), str(_PACKAGE / "embedded" / "_memory.py"))
_NODE = ("embedded/_node.py", "embedded/_process.py", "embedded/_listening.py")
_WAITING = tuple(str(_PACKAGE / name) for name in ("_client", "_cluster", "_nursery.py", *_NODE))

_TLS = tuple(str(_PACKAGE / "_transport" / name) for name in ("_dial.py", "_pem.py", "_tls.py", "_tls_config.py"))

_CLUSTER = tuple(
    str(_PACKAGE / "_cluster" / name) for name in ("_candidates.py", "_discovery.py", "_nodes.py", "_resolving.py")
)


async def program() -> None:
    """Everything that makes tasks wait for each other: calls, answers, subscriptions, ends of them."""
    async with ESDBClient("esdb://embedded") as client:
        await client.append_event("s", StreamState.ANY, NewEvent(type="T", data=b"{}"))
        async with client.subscribe_stream_events("s") as events:
            await events.receive()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(events.receive)
                await trio.testing.wait_all_tasks_blocked()
                await client.append_event("s", StreamState.ANY, NewEvent(type="T", data=b"{}"))
        assert len(await client.get_stream_events("s")) == 2
        with trio.move_on_after(1):
            async with client.subscribe_stream_events("t") as events:
                await events.receive()


async def program_over_tls() -> None:
    async with EmbeddedNode() as node:
        connect = partial(node.connect, tls=server_context())
        async with ESDBClient(f"esdb://{HOST}", roots(), connect=connect) as client:
            await client.append_event("s", StreamState.ANY, NewEvent(type="T", data=b"{}"))
            assert len(await client.get_stream_events("s")) == 1


class Place:
    """Where names are known: of the node that is there, and of others."""

    def __init__(self, node: EmbeddedNode) -> None:
        self._node = node

    async def resolve(self, host: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        return ["10.0.0.1", "10.0.0.2"] if host == "cluster.example" else [host]

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        if host != "10.0.0.2":
            await trio.sleep(0.1 if host == "refuses.example" else 1)
            raise OSError("nobody is there")
        return await self._node.connect(host, port)


async def program_with_a_cluster() -> None:
    """The search for a node: names, overlapping candidates, a pause, several who wait, a check."""
    async with EmbeddedNode() as node:
        place = Place(node)
        uri = "esdb+discover://refuses.example,cluster.example?tls=false"
        async with ESDBClient(uri, connect=place.connect) as client:
            await client.append_event("s", StreamState.ANY, NewEvent(type="T", data=b"{}"))
            assert len(await client.read_gossip()) == 1
        with trio.move_on_after(3):
            async with ESDBClient("esdb+discover://refuses.example?tls=false", connect=place.connect):
                pass


class Tracer:
    """Sees each line of the traced files; at one of them it raises SIGINT."""

    def __init__(self, traced: tuple[str, ...], target: tuple[CodeType, int] | None = None) -> None:
        self.lines: dict[tuple[CodeType, int], bool] = {}
        """The lines that were seen, and whether they were protected."""
        self.fired = False
        self._traced = traced
        self._target = target

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        return self._line if frame.f_code.co_filename.startswith(self._traced) else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            at = (frame.f_code, frame.f_lineno)
            if self._target is None:
                self.lines[at] = self.lines.get(at, True) and trio.lowlevel.currently_ki_protected()
            elif at == self._target and not self.fired:
                self.fired = True
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
        return self._line


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """trio turns SIGINT into KeyboardInterrupt only where Python would; and nobody else traces meanwhile."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    tracer = sys.gettrace()
    yield
    sys.settrace(tracer)
    signal.signal(signal.SIGINT, handler)


Program = Callable[[], Awaitable[None]]


def run(tracer: Tracer, program: Program) -> BaseException | None:
    sys.settrace(tracer)
    try:
        trio.run(program, clock=trio.testing.MockClock(autojump_threshold=0))
    except BaseException as exc:  # noqa: BLE001
        return exc
    finally:
        sys.settrace(None)
    return None


def leaves(exc: BaseException | None) -> list[type[BaseException]]:
    if isinstance(exc, BaseExceptionGroup):
        return [leaf for each in exc.exceptions for leaf in leaves(each)]
    return [type(exc)]


@pytest.mark.parametrize(
    ("traced", "program"),
    [
        pytest.param(_TRANSPORT, program, id="transport"),
        pytest.param(_WAITING, program, id="what waits on it"),
        pytest.param(_TLS, program_over_tls, id="tls"),
        pytest.param(_CLUSTER, program_with_a_cluster, id="cluster"),
    ],
)
def test_ctrl_c_at_every_line(traced: tuple[str, ...], program: Program) -> None:
    survey = Tracer(traced)
    assert run(survey, program) is None
    assert len(survey.lines) > 150, "the lines are not seen any more"
    wrong = {}
    for (code, line), protected in survey.lines.items():
        if protected and traced in (_WAITING, _CLUSTER):
            continue
        tracer = Tracer(traced, (code, line))
        raised = run(tracer, program)
        if tracer.fired and leaves(raised) != [KeyboardInterrupt]:  # trio's order of tasks decides about some lines
            wrong[f"{code.co_qualname}:{line}"] = raised
    assert not wrong
