"""The types that users see, through mypy as users run it: strict, without this project's settings."""

from __future__ import annotations

import re
from pathlib import Path

import mypy.api

PROGRAM = Path(__file__).with_name("program.py")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

MARK = re.compile(r"# refused: ([a-z-]+)$")
REPORT = re.compile(r"^(.+):(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)


def test_what_mypy_says_of_programs(tmp_path: Path) -> None:
    programs = [PROGRAM, *EXAMPLES.glob("*.py")]
    settings = ["--strict", "--config-file=", f"--cache-dir={tmp_path}", "--no-error-summary"]
    report, trouble, _ = mypy.api.run([*settings, *map(str, programs)])
    expected = {
        (program.name, number, found[1])
        for program in programs
        for number, line in enumerate(program.read_text().splitlines(), 1)
        if (found := MARK.search(line))
    }
    assert trouble == ""
    reported = {(Path(file).name, int(number), code) for file, number, code in REPORT.findall(report)}
    assert reported == expected, report
