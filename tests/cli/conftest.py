"""Clusters under a clock that jumps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clock import let_time_jump


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    let_time_jump(items, Path(__file__).parent)
