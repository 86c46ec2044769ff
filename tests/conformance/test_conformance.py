"""The embedded node answers as a real 24.10.4 node does: one test a recorded conversation.

The conversations are held by grpcio over TCP, each with a fresh node, several at a time: most of them wait for silence.
With ESDB_TEST_URI they are held one after another with the node at that address, which must be fresh: those for a node
without users, or with ESDB_TEST_CA, the path of the certificate of its CA, those for a node with users.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.nodes import Nodes

from . import driver
from .records import NOT_OFFERED, WITH_USERS, credentials, expected, golden, scenarios, schema
from .run import lines

AT_ONCE = 12

Holding = Callable[[str], list[dict]]


@pytest.fixture(scope="module")
def hold(request: pytest.FixtureRequest) -> Iterator[Holding]:
    """Gives a scenario's steps."""
    address = os.environ.get("ESDB_TEST_URI")
    if address is not None:
        real = urlsplit(address)
        assert real.hostname is not None
        assert real.port is not None
        host, port = real.hostname, real.port
        ca = Path(os.environ["ESDB_TEST_CA"]).read_bytes() if "ESDB_TEST_CA" in os.environ else None
        yield lambda name: driver.hold(schema(), host, port, name, metadata=credentials(name), tls_ca=ca)
        return
    chosen = [item.callspec.params["name"] for item in request.session.items if "hold" in item.fixturenames]
    with Nodes.running() as nodes, ThreadPoolExecutor(AT_ONCE) as threads:
        schema()

        def hold_one(name: str) -> list[dict]:
            give_up_on = None if _subject(name) is None else "UNIMPLEMENTED"
            port = nodes.start(users=name.startswith(WITH_USERS))
            metadata = credentials(name)
            return driver.hold(schema(), "127.0.0.1", port, name, metadata=metadata, give_up_on=give_up_on)

        begun = {name: threads.submit(hold_one, name) for name in chosen}
        yield lambda name: begun[name].result()


def _subject(name: str) -> str | None:
    return next((subject for prefix, subject in NOT_OFFERED.items() if name.startswith(prefix)), None)


def _cases() -> list[object]:
    cases: list[object] = []
    names = scenarios()
    if "ESDB_TEST_URI" in os.environ:
        names = [name for name in names if name.startswith(WITH_USERS) == ("ESDB_TEST_CA" in os.environ)]
    for name in names:
        subject = _subject(name)
        if subject is None or os.environ.get("ESDB_TEST_URI") is not None:
            cases.append(pytest.param(name, id=name))
        else:
            mark = pytest.mark.xfail(reason=f"not offered: {subject}", strict=True)
            cases.append(pytest.param(name, id=name, marks=mark))
    return cases


@pytest.mark.parametrize("name", _cases())
def test_as_recorded(name: str, hold: Holding) -> None:
    steps = hold(name)
    assert lines(expected(name, steps)) == lines(expected(name, golden()[name]))


def test_every_record_has_its_scenario() -> None:
    assert set(golden()) == set(scenarios())
