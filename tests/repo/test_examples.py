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
SUITES = [ROOT / "examples" / "orders", ROOT / "examples" / "mailers"]
"""Their tests are part of the whole suite (``testpaths``)."""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_in_suite(path: Path) -> bool:
    return path.name.startswith("test_") and any(folder in path.parents for folder in SUITES)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page(page: Path) -> None:
    shown = [*blocks(page.read_text()), Block("", "", 0)]
    programs = [(block, after) for block, after in pairwise(shown) if block.language == "python"]
    printed = run_all(*((block.text, name(page), block.line) for block, _ in programs))
    for (block, after), output in zip(programs, printed, strict=True):
        if after.language == "text":
            assert output == after.text, f"{name(page)}, line {block.line}"


@pytest.mark.parametrize("example", [path for path in EXAMPLES if not is_in_suite(path)], ids=name)
def test_example(example: Path) -> None:
    text = example.read_text()
    (printed,) = run_all((text, name(example), 1))
    assert bool(printed) == ("__main__" in text)


def test_pytest_runs_the_suites(pytestconfig: pytest.Config) -> None:
    tested = [ROOT / path for path in pytestconfig.getini("testpaths")]
    assert [path for path in SUITES if path not in tested] == []
