"""Every Python program that the documentation or examples/ shows runs, and prints what the page says.

A block marked `text` straight after a Python block is what that one prints.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.documents import PAGES, ROOT, Block, blocks
from tests.support.programs import run_all

EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page(page: Path) -> None:
    shown = [*blocks(page.read_text()), Block("", "", 0)]
    programs = [(block, after) for block, after in pairwise(shown) if block.language == "python"]
    printed = run_all(*((block.text, name(page), block.line) for block, _ in programs))
    for (block, after), output in zip(programs, printed, strict=True):
        if after.language == "text":
            assert output == after.text, f"{name(page)}, line {block.line}"


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_example(example: Path) -> None:
    (printed,) = run_all((example.read_text(), name(example), 1))
    assert printed or example.name.startswith("test_")
