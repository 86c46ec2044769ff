"""The commands of `trio-esdb serve --nodes`, each a line that is answered by a line."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import trio

from trio_esdb._cli._commands import Commands
from trio_esdb.testing import EmbeddedCluster

ALLOWED = "nodes, kill N, terminate N, restart N, freeze N, wake N, resign, partition N, heal"


@pytest.fixture
async def cluster() -> AsyncIterator[EmbeddedCluster]:
    async with EmbeddedCluster() as cluster:
        yield cluster


@pytest.fixture
def commands(cluster: EmbeddedCluster) -> Commands:
    return Commands(cluster)


def states(commands: Commands) -> list[str]:
    """The states in the answer to `nodes`."""
    parts = commands.answer("nodes").split("; ")
    found = [re.fullmatch(r"(\d) node\1\.example:2113 (\w+)", part) for part in parts]
    assert all(found), parts
    assert [match[1] for match in found if match] == ["1", "2", "3"]
    return [match[2] for match in found if match]


def leader(cluster: EmbeddedCluster) -> int:
    assert cluster.leader is not None
    return cluster.leader.number


async def test_nodes(cluster: EmbeddedCluster, commands: Commands) -> None:
    assert sorted(states(commands)) == ["Follower", "Follower", "Leader"]
    assert states(commands)[leader(cluster) - 1] == "Leader"


async def test_kill_and_restart(cluster: EmbeddedCluster, commands: Commands) -> None:
    first = leader(cluster)
    assert commands.answer(f"kill {first}") == f"node {first} is killed"
    assert states(commands)[first - 1] == "Stopped"
    for command in ("kill", "terminate", "freeze", "wake"):
        assert re.fullmatch("error: node . cannot .* does not run", commands.answer(f"{command} {first}"))
    await trio.sleep(5)
    assert sorted(states(commands)) == ["Follower", "Leader", "Stopped"]
    assert commands.answer(f"restart {first}") == f"node {first} starts"
    assert commands.answer(f"restart {first}").startswith(f"error: node {first} cannot be restarted")
    await cluster.settled()
    assert states(commands)[first - 1] == "Follower"


async def test_terminate(cluster: EmbeddedCluster, commands: Commands) -> None:
    first = leader(cluster)
    assert commands.answer(f" terminate   {first}\r") == f"node {first} is told to end"
    await trio.sleep(5)
    assert states(commands)[first - 1] == "Stopped"
    assert "Leader" in states(commands)


async def test_freeze_and_wake(cluster: EmbeddedCluster, commands: Commands) -> None:
    first = leader(cluster)
    assert commands.answer(f"freeze {first}") == f"node {first} is frozen"
    assert states(commands)[first - 1] == "Frozen"
    assert commands.answer(f"terminate {first}").startswith(f"error: node {first} cannot be terminated")
    await trio.sleep(10)
    assert states(commands).count("Leader") == 1
    assert commands.answer(f"wake {first}") == f"node {first} goes on"


async def test_resign(cluster: EmbeddedCluster, commands: Commands) -> None:
    first = leader(cluster)
    assert commands.answer("resign") == f"node {first} resigns"
    assert states(commands)[first - 1] == "ResigningLeader"
    assert commands.answer("resign") == "error: no node leads now; nodes tells their states"
    await cluster.settled()


async def test_partition_and_heal(cluster: EmbeddedCluster, commands: Commands) -> None:
    first = leader(cluster)
    assert commands.answer(f"partition {first}") == f"node {first} is parted from the others"
    await trio.sleep(20)
    assert states(commands).count("Leader") == 1
    assert states(commands)[first - 1] != "Leader"
    assert commands.answer("heal") == "all nodes reach each other"
    await trio.sleep(20)
    if states(commands)[first - 1] == "Stopped":  # its log was ahead
        commands.answer(f"restart {first}")
    await cluster.settled()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("", f"error: '' is no command; a line is one of {ALLOWED}"),
        ("  \r", f"error: '' is no command; a line is one of {ALLOWED}"),
        ("help", f"error: 'help' is no command; a line is one of {ALLOWED}"),
        ("Kill 1", f"error: 'Kill' is no command; a line is one of {ALLOWED}"),
        ("\x1b[2J\ufffd\u2028", rf"error: '\x1b[2J\ufffd' is no command; a line is one of {ALLOWED}"),
        ("x" * 999, f"error: '{'x' * 40}...' is no command; a line is one of {ALLOWED}"),
        (None, f"error: the line is too long; a line is one of {ALLOWED}"),
        ("nodes 1", f"error: nodes takes nothing else; a line is one of {ALLOWED}"),
        ("heal all", f"error: heal takes nothing else; a line is one of {ALLOWED}"),
        ("resign 1", f"error: resign takes nothing else; a line is one of {ALLOWED}"),
        ("kill", "error: kill takes the number of one node, from 1 to 3"),
        ("kill 1 2", "error: kill takes the number of one node, from 1 to 3"),
        *(
            (f"restart {number}", f"error: there is no node {number!a}: they are numbered from 1 to 3")
            for number in ("0", "4", "-1", "1.0", "one", "\u0661", "9" * 30)
        ),
        ("wake " + "9" * 99, f"error: there is no node '{'9' * 40}...': they are numbered from 1 to 3"),
    ],
)
def test_what_is_no_command(line: str | None, answer: str) -> None:
    async def main() -> str:
        return Commands(EmbeddedCluster()).answer(line)

    assert trio.run(main) == answer


@pytest.mark.parametrize("line", ["kill 1", "terminate 1", "freeze 1", "wake 1", "restart 1", "resign"])
def test_a_command_never_fails_without_an_answer(line: str) -> None:
    async def main() -> str:
        return Commands(EmbeddedCluster()).answer(line)

    assert trio.run(main).startswith("error: ")
