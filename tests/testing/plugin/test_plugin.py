"""The pytest plugin, in test runs of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PLAIN = ["-p", "no:cacheprovider", "-p", "no:trio", "-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:xdist"]

USES = """
from trio_esdb import NewEvent, StreamState


async def one_node(esdb_node, esdb_client):
    async with esdb_node() as node, esdb_client() as client, esdb_client() as other:
        await client.append_event("s", StreamState.ANY, NewEvent("T", b""))
        assert len(await other.get_stream_events("s")) == 1
        assert node.address == ("node1.example", 2113)


async def a_node_with_users_and_tls(esdb_node, esdb_client):
    from trio_esdb.embedded import Certificates

    certificates = Certificates.self_made("node7.example")
    for tls in (None, certificates):
        async with esdb_node("node7.example", tls=tls, users={"admin": "p:w/@"}), esdb_client() as client:
            await client.append_event("s", StreamState.ANY, NewEvent("T", b""))


async def a_network_that_fails(esdb_network, esdb_node, esdb_client):
    async with esdb_node(port=1), esdb_node("node2.example", 2, empty=True):
        async with esdb_client("esdb://node1.example:1?tls=false") as first, esdb_client() as second:
            await first.append_event("s", StreamState.ANY, NewEvent("T", b""))
            assert await second.get_commit_position(filter_exclude=()) == 0
            esdb_network.to("node1.example").reset()
            assert len(await first.get_stream_events("s")) == 1
            assert [each.port for each in esdb_network.connections] == [1, 2, 1]


async def a_client_alone(esdb_client):
    async with esdb_client(connection_name="c") as client:
        await client.append_event("s", StreamState.ANY, NewEvent("T", b""))


async def a_cluster(esdb_cluster, esdb_client):
    async with esdb_cluster(nodes=3) as cluster, esdb_client() as client:
        await client.append_event("s", StreamState.ANY, NewEvent("T", b""))
        cluster.leader.kill()
        assert len(await client.get_stream_events("s", timeout=60)) == 1


async def a_secure_cluster(esdb_cluster, esdb_client):
    async with esdb_cluster(nodes=3, tls=True, users=True), esdb_client() as client:
        await client.append_event("s", StreamState.ANY, NewEvent("T", b""))
    async with esdb_cluster(nodes=1, users=True), esdb_client() as client:
        await client.append_event("s", StreamState.ANY, NewEvent("T", b""))
"""
NAMES = re.findall(r"async def (\w+)\((.*)\):", USES)


def run_pytest(folder: Path, text: str, *options: str, **environment: str) -> tuple[int, str]:
    """Run a file of tests in a process of its own: its exit status, and what it printed."""
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").touch()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", "-rA", *options],
        cwd=folder,
        env={**os.environ, "COLUMNS": "300", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_it_is_installed_as_a_plugin() -> None:
    (found,) = entry_points(group="pytest11", name="trio_esdb")
    assert found.value == "trio_esdb_pytest"


def test_loading_it_loads_nothing_else(tmp_path: Path) -> None:
    text = """
    def test_modules(pytestconfig):
        import sys

        assert pytestconfig.pluginmanager.has_plugin("trio_esdb")
        ours = ("trio_esdb_pytest", "pytest_cov")
        print([name for name in sys.modules if name.split(".")[0] in ("trio", "trio_esdb", "trio_esdb_proto", "h2")])
        before = set(sys.modules)

    def test_fixtures(esdb_network):
        import sys

        assert "trio_esdb.testing" in sys.modules
    """
    code, out = run_pytest(tmp_path, re.sub("^    ", "", text, flags=re.MULTILINE), *PLAIN, "-s")
    assert code == 0, out
    assert "[]\n" in out


def test_what_loading_it_brings() -> None:
    """In a process that has pytest, the plugin is one module more, and what dataclasses need."""
    look = "import sys, pytest, _pytest.config; before = set(sys.modules)\nimport trio_esdb_pytest\n"
    look += "print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "['trio_esdb_pytest']\n"


def with_pytest_trio() -> str:
    tests = "".join(
        f"\n\nasync def test_{name}({fixtures}, autojump_clock):\n    await {name}({fixtures})\n"
        for name, fixtures in NAMES
    )
    return USES + tests


def with_anyio() -> str:
    jumping = '("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})'
    text = f"""
import pytest
import trio.testing

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return {jumping}
"""
    return (
        USES
        + text
        + "".join(f"\n\nasync def test_{name}({fixtures}):\n    await {name}({fixtures})\n" for name, fixtures in NAMES)
    )


def with_plain_runs() -> str:
    text = """
import trio
import trio.testing
"""
    return (
        USES
        + text
        + "".join(
            f"\n\ndef test_{name}({fixtures}):\n"
            f"    trio.run({name}, {fixtures}, clock=trio.testing.MockClock(autojump_threshold=0))\n"
            for name, fixtures in NAMES
        )
    )


@pytest.mark.parametrize(
    ("text", "options"),
    [
        pytest.param(with_pytest_trio(), ["-p", "no:anyio", "-o", "trio_mode=true"], id="pytest-trio"),
        pytest.param(with_anyio(), ["-p", "no:trio"], id="anyio"),
        pytest.param(with_plain_runs(), PLAIN, id="plain"),
    ],
)
def test_the_fixtures_serve_every_runner(tmp_path: Path, text: str, options: list[str]) -> None:
    code, out = run_pytest(tmp_path, text, *options)
    assert code == 0, out
    assert re.findall(r"^PASSED \S+::test_(\w+)", out, re.MULTILINE) == [name for name, _ in NAMES]


def test_another_loop_gets_a_clear_error(tmp_path: Path) -> None:
    text = """
import asyncio


def test_asyncio(esdb_node, esdb_client):
    async def main():
        async with esdb_client():
            pass

    asyncio.run(main())
"""
    code, out = run_pytest(tmp_path, text, *PLAIN)
    assert code == 1
    assert "RuntimeError: what esdb_client makes needs trio" in out


SIMULATED = """
import pytest

from trio_esdb.testing import simulate


@pytest.fixture
def place():
    return "here"


@pytest.mark.parametrize("number", [1, 2])
@simulate(seeds=3, nodes=1)
async def test_simulated(world, place, number):
    print(f"<{place} {number} {world.seed}>")
    async with world.client():
        pass
"""


def test_simulated_tests_take_fixtures_and_parameters(tmp_path: Path) -> None:
    for options in (["-o", "trio_mode=true"], ["-p", "no:trio_esdb"], ["--numprocesses=2"]):
        code, out = run_pytest(tmp_path, SIMULATED, *options)
        assert code == 0, out
        assert sorted(re.findall("<here (.*)>", out)) == ["1 0", "1 1", "1 2", "2 0", "2 1", "2 2"]
        figures = re.search(r"trio_esdb: 2 simulated, schedules: 6, faults: \d+, simulated hours: 0", out)
        assert bool(figures) == ("no:trio_esdb" not in options)


def test_the_option_for_a_seed(tmp_path: Path) -> None:
    code, out = run_pytest(tmp_path, SIMULATED, "--esdb-seed=9")
    assert code == 0, out
    assert re.findall("<here (.*)>", out) == ["1 9", "2 9"]
    code, out = run_pytest(tmp_path, SIMULATED, "--esdb-seed=-9")
    assert code == 4
    assert "argument --esdb-seed: a seed is a whole number from 0 on, not '-9'" in out


def test_the_option_ends_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest may be called in a process that goes on."""
    text = f"""
import os
import sys

import pytest

assert pytest.main(["-q", {str(tmp_path)!r}, "--esdb-seed=9"]) == 0
assert os.environ.get("TRIO_ESDB_SEED") == (sys.argv[1] or None)
"""
    (tmp_path / "test_it.py").write_text(SIMULATED)
    for before in ("", "5"):
        environment = {**os.environ, "TRIO_ESDB_SEED": before}
        if not before:
            del environment["TRIO_ESDB_SEED"]
        subprocess.run([sys.executable, "-c", text, before], env=environment, cwd=tmp_path, check=True)
