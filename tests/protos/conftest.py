"""What the tests of the messages share."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from tests.conformance.records import schema


@pytest.fixture(scope="session")
def compiled() -> list[FileDescriptorProto]:
    """The descriptors of every file in `protos/` and of what they import, imported ones first."""
    return schema().files


@pytest.fixture(scope="session")
def pool() -> DescriptorPool:
    """A pool of our descriptors alone: the default one holds another client's, of the same names."""
    return schema().pool
