"""`trio-esdb serve --nodes 3` as a process: where it listens, what its standard input may be, how it ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.support.processes import Program, serving

URI = re.compile(r"esdb://127\.0\.0\.1:(\d+),127\.0\.0\.1:(\d+),127\.0\.0\.1:(\d+)\?Tls=false")


@asynccontextmanager
async def cluster(*options: str, stdin: int = subprocess.DEVNULL) -> AsyncIterator[Program]:
    async with Program.running(serving("--nodes", "3", *options), stdin=stdin) as program:
        yield program


def ports_of(uri: str) -> list[int]:
    found = URI.fullmatch(uri)
    assert found is not None, uri
    return [int(port) for port in found.groups()]


def three_free_ports() -> int:
    """The first of three ports in a row that nobody uses."""
    for first in range(21_130, 60_000, 7):
        with ExitStack() as taken:
            try:
                for port in range(first, first + 3):
                    taken.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return first
    raise AssertionError


async def test_what_standard_input_may_be(tmp_path: Path) -> None:
    """Nothing, closed, a file, a pipe that says nothing, a terminal: the cluster runs with each of them."""
    (tmp_path / "commands").write_bytes(b"nodes\r\n\xff\n" + b"x" * 5000 + b"\nheal")
    file = os.open(tmp_path / "commands", os.O_RDONLY)
    master, terminal = pty.openpty()
    answers: dict[str, list[str]] = {}

    async def run(kind: str, stdin: int, command: tuple[str, ...], lines: int) -> None:
        async with Program.running(command, stdin=stdin) as program:
            first, *_ = ports_of(await program.uri())
            answers[kind] = [await program.line() for _ in range(lines)]
            await (await trio.open_tcp_stream("127.0.0.1", first)).aclose()
            program.send(signal.SIGTERM)
            assert await program.ended() == (0, "", "")

    ephemeral = serving("--nodes", "3", "--port", "0", "--grace", "0")
    shell = ("sh", "-c", 'exec "$@" <&-', "sh", *ephemeral)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "nothing", subprocess.DEVNULL, ephemeral, 0)
        nursery.start_soon(run, "closed", subprocess.DEVNULL, shell, 0)
        nursery.start_soon(run, "file", file, ephemeral, 4)
        nursery.start_soon(run, "pipe", subprocess.PIPE, ephemeral, 0)
        os.write(master, b"kill 2\n")
        nursery.start_soon(run, "terminal", terminal, ephemeral, 1)
    for number in (file, master, terminal):
        os.close(number)
    nodes, *others = answers.pop("file")
    assert re.fullmatch(r"1 127\.0\.0\.1:\d+ \w+; 2 127\.0\.0\.1:\d+ \w+; 3 127\.0\.0\.1:\d+ \w+", nodes)
    assert others[0].startswith(r"error: '\ufffd' is no command; ")
    assert others[1].startswith("error: the line is too long; ")
    assert others[2] == "all nodes reach each other"
    assert answers == {"nothing": [], "closed": [], "pipe": [], "terminal": ["node 2 is killed"]}


async def test_consecutive_ports() -> None:
    first = three_free_ports()
    async with cluster("--port", str(first), "--grace", "0.1", stdin=subprocess.PIPE) as program:
        assert ports_of(await program.uri()) == [first, first + 1, first + 2]
        assert await program.command("freeze 1") == "node 1 is frozen"
        for port in range(first, first + 3):
            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
        program.send(signal.SIGINT)
        assert await program.ended() == (0, "", ""), "a node that is frozen does not hold up the end"


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
async def test_a_signal_before_the_cluster_has_a_leader(sign: signal.Signals) -> None:
    first = three_free_ports()
    async with cluster("--port", str(first), "--grace", "0.1") as program:
        while True:  # until the first node listens
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", first)
            except OSError:
                await trio.sleep(0.05)
            else:
                await stream.aclose()
                break
        program.send(sign)
        assert await program.ended() == (0, "", "")


async def test_a_port_that_is_in_use() -> None:
    first = three_free_ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + 1))
        taken.listen()
        async with cluster("--port", str(first)) as program:
            status, printed, complaint = await program.ended()
    assert (status, printed) == (1, "")
    assert re.fullmatch(rf"trio-esdb: cannot listen on 127\.0\.0\.1:{first + 1}: .*already in use\n", complaint)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--nodes", "0"), "argument --nodes: '0' is not a number from 1 to 9"),
        (("--nodes", "10"), "argument --nodes: '10' is not a number from 1 to 9"),
        (("--nodes", "-1"), "argument --nodes: "),
        (("--nodes", "three"), "argument --nodes: 'three' is not a number from 1 to 9"),
        (("--port", "65534"), "argument --port: 3 nodes need the ports 65534 to 65536, and the last one is 65535"),
        (("--advertise", "a:65535"), "argument --advertise: 3 nodes need the ports 65535 to 65537"),
    ],
)
async def test_options_that_make_no_sense(options: tuple[str, ...], complaint: str) -> None:
    async with cluster(*options) as program:
        status, printed, complained = await program.ended()
    assert (status, printed) == (2, "")
    assert complaint in complained
