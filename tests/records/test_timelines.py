"""The embedded cluster does what real clusters were recorded to do."""

from __future__ import annotations

import pytest

from .situations import SITUATIONS
from .timelines import recorded


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_recording_itself_lies_in_the_ranges(name: str) -> None:
    assert SITUATIONS[name].differences(recorded(name)) == []
