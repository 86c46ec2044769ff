"""A test that hangs is ended, fails, and does not keep the others from running."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clock import PATIENCE

HANGING = """
import pytest
import trio
import trio.testing

from tests.support import clock

clock.PATIENCE = 1.0

@pytest.mark.trio(run=clock.run_jumping)
async def test_jumping_clock():
    await trio.sleep(clock.LONGEST / 2)
    await trio.sleep_forever()

async def test_real_clock(nursery):
    await trio.sleep_forever()

async def test_shielded():
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()

async def test_busy_loop():
    while True:
        pass

def test_the_next_one():
    pass
"""


def test_tests_that_hang_fail_and_the_next_one_runs(root: Path, tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(HANGING)
    plugins = ["-p", "tests.conftest", "-p", "no:cacheprovider"]
    limit = ["-o", "faulthandler_timeout=2"]  # the project's, some three hundred times shorter
    options = ["-c", root / "pyproject.toml", "--rootdir", root, "--numprocesses=1", "-rA", "--tb=line"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *plugins, *limit, tmp_path],
        cwd=root,
        env={**os.environ, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    line = re.compile(r"^(PASSED|FAILED) \S*::test_(\w+)(?: - (?:worker '\w+' )?(\w+(?:\.\w+)*).*)?$", re.MULTILINE)
    told = line.findall(done.stdout)
    assert {name: (verdict, reason) for verdict, name, reason in told} == {
        "jumping_clock": ("FAILED", "trio.TooSlowError"),
        "real_clock": ("FAILED", "trio.TooSlowError"),
        "shielded": ("FAILED", "crashed"),
        "busy_loop": ("FAILED", "crashed"),
        "the_next_one": ("PASSED", ""),
    }
    assert "test_busy_loop" in done.stderr, "the stack is not shown"


def test_the_limits_of_the_project(pytestconfig: pytest.Config) -> None:
    assert PATIENCE < float(pytestconfig.getini("faulthandler_timeout")) < float("inf")
    assert pytestconfig.getini("faulthandler_exit_on_timeout")
