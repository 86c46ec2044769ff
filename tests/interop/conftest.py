"""A node of ours for foreign clients, a foreign server for our client."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import trio

from tests.support.clock import PATIENCE
from tests.support.foreign import Foreign
from tests.support.processes import serving
from trio_esdb import ESDBClient


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """Host and port of `trio-esdb serve`."""
    with served() as lines:
        line = next(lines)
        assert line.startswith("listening on esdb://127.0.0.1:"), line
        yield line.removeprefix("listening on esdb://").partition("?")[0]


@pytest.fixture(scope="module")
def secure_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `trio-esdb serve --tls DIR --users` prints as its address."""
    with served("--tls", str(tmp_path_factory.mktemp("certificates")), "--users") as lines:
        line = next(lines)
        assert line.startswith("listening on esdb://127.0.0.1:"), line
        assert next(lines).startswith("the certificate that clients must trust is ")
        yield line.removeprefix("listening on ").rstrip()


@contextmanager
def served(*options: str) -> Iterator[Iterator[str]]:
    """The lines of `trio-esdb serve`; it must end well when told to, whatever its clients have left behind."""
    command = serving("--port", "0", *options)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        yield iter(process.stdout.readline, "")
        process.send_signal(signal.SIGTERM)
        printed, complaints = process.communicate()
        assert (process.returncode, printed, complaints) == (0, "", "")
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


@pytest.fixture
async def server() -> AsyncIterator[Foreign]:
    """grpcio's server."""
    with Foreign.running() as server:
        yield server


@pytest.fixture
async def client(server: Foreign) -> AsyncIterator[ESDBClient]:
    """Our client of it; a test that hangs fails."""
    with trio.fail_after(PATIENCE):
        async with ESDBClient(server.uri) as client:
            yield client
