"""Networks in memory, under a clock that jumps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clock import let_time_jump
from trio_esdb.testing import MemoryNetwork


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    let_time_jump(items, Path(__file__).parent)


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()
