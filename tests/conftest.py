"""What every test has at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# Nothing here depends on how fast a machine is; and a run that decides on a change is the same each time.
settings.register_profile(
    "trio_esdb", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("trio_esdb")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT
