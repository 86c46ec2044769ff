"""What the tests of the converters share."""

from __future__ import annotations

import pytest

from tests.support.makers import forget


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """What was remembered in earlier tests is forgotten, so that no test depends on another."""
    forget()
