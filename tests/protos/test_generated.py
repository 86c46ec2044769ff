"""The generated package is a light thing to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import trio_esdb_proto

PROGRAM = """
import importlib, pkgutil, sys
import trio_esdb_proto
for module in pkgutil.walk_packages(trio_esdb_proto.__path__, "trio_esdb_proto."):
    importlib.import_module(module.name)
print(*sorted(sys.modules))
"""


def test_importing_brings_in_no_other_stack() -> None:
    """Neither the event loop of another library, nor another implementation of gRPC or of protobuf."""
    root = Path(trio_esdb_proto.__path__[0]).parent
    code = f"import sys; sys.path.insert(0, {str(root)!r}){PROGRAM}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "trio_esdb_proto.event_store.client.streams" in loaded
    assert loaded.isdisjoint({"asyncio", "google.protobuf", "grpc", "grpclib", "h2", "pydantic", "ssl", "trio"})


def test_says_that_it_has_types() -> None:
    assert Path(trio_esdb_proto.__path__[0], "py.typed").is_file()
