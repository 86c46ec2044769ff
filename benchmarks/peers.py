"""The clients that are compared: what they are called, how their programs are started, which versions they have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_NODE_PACKAGE = "@kurrent/kurrentdb-client"


@dataclass(frozen=True, slots=True)
class Peer:
    """A client."""

    key: str
    title: str
    speed: float
    """How much of it is done at a time, against kurrentdbclient, so that all take similar times."""


OURS = "ours"
PLAIN = "ours_plain"
"""This client without TLS, to compare it with itself."""
PEERS = {
    peer.key: peer
    for peer in (
        Peer(OURS, "trio_esdb", 8),
        Peer("kurrent", "kurrentdbclient", 1),
        Peer("kurrent_asyncio", "kurrentdbclient, asyncio", 1),
        Peer("official", "official Node client", 4),
        Peer("raw_grpc", "grpcio, nothing decoded", 1.5),
        Peer(PLAIN, "trio_esdb without TLS", 8),
        Peer("ours_betterproto", "trio_esdb with betterproto2's codecs", 1),
    )
}


class Absent(Exception):
    """A client that cannot be had here; the text says why."""


def command(key: str, core: int | None) -> list[str]:
    """What starts a client's program."""
    if key != "official":
        program = OURS if key == PLAIN else key
        return [sys.executable, "-m", f"benchmarks.clients.{program}", *([] if core is None else [str(core)])]
    node = shutil.which("node")
    if node is None:
        raise Absent("node is not installed")
    pin = [] if core is None or not (taskset := shutil.which("taskset")) else [taskset, "-c", str(core)]
    program = str(Path(__file__).parent / "clients" / "official.mjs")
    return [*pin, node, "--expose-gc", program, str(_official_client())]


def _official_client() -> Path:
    """The folder in which the official client is installed, which is done once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "trio-esdb-benchmarks" / "node"
    if not (folder / "node_modules" / _NODE_PACKAGE / "package.json").exists():
        npm = shutil.which("npm")
        if npm is None:
            raise Absent("npm is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", _NODE_PACKAGE]
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Absent("npm could not install it")
    return folder


def versions() -> dict[str, str]:
    """The versions of everything that has a say in the numbers."""
    found = {"Python": sys.version.split("[")[0].strip()}
    for name in ("trio-esdb", "trio", "h2", "hpack", "betterproto2", "kurrentdbclient", "grpcio", "protobuf"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    if node := shutil.which("node"):
        found["Node.js"] = subprocess.run(
            [node, "--version"], capture_output=True, text=True, check=False
        ).stdout.strip()
        try:
            package = json.loads((_official_client() / "node_modules" / _NODE_PACKAGE / "package.json").read_text())
            found[_NODE_PACKAGE] = package["version"]
        except (Absent, OSError):
            found[_NODE_PACKAGE] = "not installed"
    return found
