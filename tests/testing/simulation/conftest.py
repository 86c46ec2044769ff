"""Simulations keep their failing seeds in the current folder, which is a fresh one here."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRIO_ESDB_SEED", raising=False)
    monkeypatch.delenv("TRIO_ESDB_SEEDS", raising=False)
    return tmp_path
