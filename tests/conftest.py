"""What every test has at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import clock

ROOT = Path(__file__).resolve().parent.parent

# Nothing here depends on how fast a machine is, and every run is the same. TRIO_ESDB_EXPLORE=1 lets property tests look
# for new examples instead.
settings.register_profile(
    "trio_esdb",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="TRIO_ESDB_EXPLORE" not in os.environ,
)
settings.load_profile("trio_esdb")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    clock.give_deadlines(items)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT
