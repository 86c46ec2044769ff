"""What the tests of the messages share: our `.proto` files, compiled by protoc into a pool of their own."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

PROTOS = Path(__file__).resolve().parents[2] / "protos"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[FileDescriptorProto]:
    """The descriptors of every file in `protos/` and of what they import, imported ones first."""
    out = tmp_path_factory.mktemp("descriptors") / "set.pb"
    well_known = resources.files("grpc_tools") / "_proto"
    names = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    flags = [f"-I{PROTOS}", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={out}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags, *names], check=True)
    return list(FileDescriptorSet.FromString(out.read_bytes()).file)


@pytest.fixture(scope="session")
def pool(compiled: list[FileDescriptorProto]) -> DescriptorPool:
    """A pool of our descriptors alone: the default one holds another client's, of the same names."""
    made = DescriptorPool()
    for file in compiled:
        made.Add(file)
    return made
