"""Everything here runs under a clock that jumps when nothing else is left to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import clock


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    clock.let_time_jump(items, Path(__file__).parent)
