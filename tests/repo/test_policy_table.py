"""The table in docs/trouble.md is the table in the code."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_the_page_shows_the_policy(root: Path) -> None:
    script = runpy.run_path(str(root / "docs" / "policy_table.py"))
    page: str = script["PAGE"].read_text()
    assert page == script["with_table"](page), "run: python docs/policy_table.py"
    assert script["table"]() in page
