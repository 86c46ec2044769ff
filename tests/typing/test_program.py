"""The types that users see, through mypy as users run it: strict, without this project's settings."""

from __future__ import annotations

import re
from pathlib import Path

import mypy.api

PROGRAM = Path(__file__).with_name("program.py")

MARK = re.compile(r"# refused: ([a-z-]+)$")
REPORT = re.compile(r"^[^:]+:(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)


def test_what_mypy_says_of_a_program(tmp_path: Path) -> None:
    settings = ["--strict", "--config-file=", f"--cache-dir={tmp_path}", "--no-error-summary", "--hide-error-context"]
    report, trouble, _ = mypy.api.run([*settings, str(PROGRAM)])
    marked = enumerate(PROGRAM.read_text().splitlines(), 1)
    expected = {(number, found[1]) for number, line in marked if (found := MARK.search(line))}
    assert trouble == ""
    assert {(int(number), code) for number, code in REPORT.findall(report)} == expected, report
