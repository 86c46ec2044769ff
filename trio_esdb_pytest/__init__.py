"""The pytest plugin of trio_esdb: nodes, clusters and clients for tests, and options for simulations.

pytest loads the plugins of all packages that are installed, in every run. So this one is outside of the package
``trio_esdb``, and imports neither that nor trio until a test asks for one of its fixtures.

The fixtures are plain functions, and give functions that make async context managers::

    async def test_orders(esdb_node, esdb_client):
        async with esdb_node(), esdb_client() as client:
            ...

So it does not matter who runs the test: pytest-trio, the plugin of anyio with its backend ``trio``, or ``trio.run`` in
a test that is a plain function.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trio_esdb import ESDBClient
    from trio_esdb.embedded import EmbeddedNode
    from trio_esdb.testing import EmbeddedCluster, Figures, MemoryNetwork

    NodeMaker = Callable[..., AbstractAsyncContextManager[EmbeddedNode]]
    ClusterMaker = Callable[..., AbstractAsyncContextManager[EmbeddedCluster]]
    ClientMaker = Callable[..., AbstractAsyncContextManager[ESDBClient]]

_SEED = "TRIO_ESDB_SEED"
_FIGURES = "trio_esdb_simulation"
_PASSWORD = "changeit"
"""That of the user ``admin`` of a fresh node."""


# -- fixtures ----------------------------------------------------------------------------------------------------------


class Makers:
    """What the fixtures of one test give: the functions that make nodes, clusters and clients.

    Args:
        network: The network that all are on.
    """

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network
        self._opened: list[dict[str, Any]] = []
        """The arguments of clients for what is open, the last one at the end."""

    @asynccontextmanager
    async def node(
        self, host: str = "node1.example", port: int = 2113, *, tls: Any = None, **options: Any
    ) -> AsyncIterator[EmbeddedNode]:
        """Make a node that listens."""
        _check_trio("esdb_node")
        from trio_esdb import BasicCredentials
        from trio_esdb.embedded import EmbeddedNode

        arguments: dict[str, Any] = {"uri": f"esdb://{host}:{port}?tls={'false' if tls is None else 'true'}"}
        if getattr(tls, "root_certificates", b""):
            arguments["root_certificates"] = tls.root_certificates
        users = options.get("users")
        if users:
            password = users.get("admin", _PASSWORD) if isinstance(users, Mapping) else _PASSWORD
            arguments["credentials"] = BasicCredentials("admin", password)
            arguments["plain_text_credentials"] = tls is None
        async with EmbeddedNode(**options) as node, self._network.listen(node, host, port, tls=tls):
            with self._open(arguments):
                yield node

    @asynccontextmanager
    async def cluster(self, nodes: int = 3, **options: Any) -> AsyncIterator[EmbeddedCluster]:
        """Make a cluster."""
        _check_trio("esdb_cluster")
        from trio_esdb.testing import EmbeddedCluster

        async with EmbeddedCluster(nodes, **{"network": self._network, **options}) as cluster:
            arguments: dict[str, Any] = {"uri": cluster.uri, "plain_text_credentials": "tls=false" in cluster.uri}
            if cluster.root_certificates:
                arguments["root_certificates"] = cluster.root_certificates
            with self._open(arguments):
                yield cluster

    @asynccontextmanager
    async def client(self, uri: str | None = None, **options: Any) -> AsyncIterator[ESDBClient]:
        """Make a client of what was opened last."""
        _check_trio("esdb_client")
        from trio_esdb import ESDBClient

        arguments: dict[str, Any] = {"uri": "esdb://embedded"}
        if uri is not None:
            arguments = {"uri": uri, "connect": self._network.connect}
        elif self._opened:
            arguments = {"connect": self._network.connect, **self._opened[-1]}
        async with ESDBClient(**{**arguments, **options}) as client:
            yield client

    @contextmanager
    def _open(self, arguments: dict[str, Any]) -> Iterator[None]:
        self._opened.append(arguments)
        try:
            yield
        finally:
            self._opened.remove(arguments)


@pytest.fixture
def esdb_network() -> MemoryNetwork:
    """The memory network of the test, on which its nodes and clusters listen; see trio_esdb.testing.MemoryNetwork."""
    from trio_esdb.testing import MemoryNetwork

    return MemoryNetwork()


@pytest.fixture
def _esdb_makers(esdb_network: MemoryNetwork) -> Makers:
    return Makers(esdb_network)


@pytest.fixture
def esdb_node(_esdb_makers: Makers) -> NodeMaker:
    """Makes nodes: ``async with esdb_node(host="node1.example", port=2113) as node``, an EmbeddedNode that listens.

    The other arguments are those of EmbeddedNode, and ``tls=``, the certificates that it shows.
    """
    return _esdb_makers.node


@pytest.fixture
def esdb_cluster(_esdb_makers: Makers) -> ClusterMaker:
    """Makes clusters: ``async with esdb_cluster(nodes=3) as cluster``, an EmbeddedCluster.

    The arguments are those of EmbeddedCluster.
    """
    return _esdb_makers.cluster


@pytest.fixture
def esdb_client(_esdb_makers: Makers) -> ClientMaker:
    """Makes clients: ``async with esdb_client() as client``, an ESDBClient on the test's memory network.

    It connects to the node or the cluster that the test has opened last. Without one, it has a node of its own. The
    arguments are those of ESDBClient.
    """
    return _esdb_makers.client


def _check_trio(fixture: str) -> None:
    import trio

    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            f"what {fixture} makes needs trio: run the test with pytest-trio, anyio's backend 'trio', or trio.run"
        )


# -- simulations -------------------------------------------------------------------------------------------------------


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 on, not {text!r}")
    return int(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--esdb-seed``."""
    parser.getgroup("trio_esdb").addoption(
        "--esdb-seed",
        type=_seed,
        metavar="SEED",
        help=f"run simulated tests with this seed only, as the environment variable {_SEED} does",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell the simulations of the seed."""
    seed = config.getoption("--esdb-seed")
    if seed is None:
        return
    before = os.environ.get(_SEED)
    os.environ[_SEED] = str(seed)

    def restore() -> None:
        if before is None:
            os.environ.pop(_SEED, None)
        else:
            os.environ[_SEED] = before

    config.add_cleanup(restore)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Keep what a simulated test did with its report."""
    figures: Figures | None = getattr(getattr(item, "obj", None), "figures", None)
    if type(figures).__module__ != "trio_esdb.testing":
        yield
        return
    before = astuple(figures)  # type: ignore[arg-type]
    yield
    done = [now - then for now, then in zip(astuple(figures), before, strict=True)]  # type: ignore[arg-type]
    item.user_properties.append((_FIGURES, done))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what all simulated tests did."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    found = [
        value
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == _FIGURES
    ]
    if found:
        from trio_esdb.testing import Figures

        terminalreporter.write_line(
            f"trio_esdb: {len(found)} simulated, {Figures(*map(sum, zip(*found, strict=True)))}"
        )
