"""What the tests of the converters share."""

from __future__ import annotations

import pytest

from trio_esdb._convert import _read


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Names and pairs of earlier tests are forgotten, so that no test depends on another."""
    _read._names.clear()
    _read._system.clear()
