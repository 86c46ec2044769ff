"""The picture of a failover in the documentation is what the simulation shows today."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_the_picture_is_current(root: Path) -> None:
    script = runpy.run_path(str(root / "docs" / "failover_picture.py"))
    file: Path = script["FILE"]
    assert file.read_text() == script["svg"](), "run: python docs/failover_picture.py"
