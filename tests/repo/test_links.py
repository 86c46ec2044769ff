"""Links inside the documentation lead somewhere, and the README says what CI does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documents import PAGES, ROOT, anchors, blocks, links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page.read_text()):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        assert file.exists(), link
        if anchor:
            assert anchor in anchors(file.read_text()), link


def test_ci_runs_the_command_of_the_readme() -> None:
    commands = {line.strip() for block in blocks((ROOT / "README.md").read_text()) for line in block.text.splitlines()}
    assert {"pip install rust-just && just demo", "pip install rust-just && just test"} <= commands
    assert "pip install rust-just && just test" in (ROOT / ".ci" / "run").read_text()


def test_recipes_that_the_documentation_names_exist() -> None:
    recipes = set(re.findall(r"^([a-z-]+).*:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:`|&& )just\s+([a-z-]+)", page.read_text())}
    assert named
    assert named <= recipes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.\w+)`", page.read_text())
    assert [name for name in named if not any((folder / name).exists() for folder in (ROOT, ROOT / "trio_esdb"))] == []
