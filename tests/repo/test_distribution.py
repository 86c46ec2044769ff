"""What a wheel and a source distribution hold."""

from __future__ import annotations

import re
import tarfile
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.build import build_sdist, build_wheel


def test_wheel(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with ZipFile(tmp_path / build_wheel(str(tmp_path))) as wheel:
        names = set(wheel.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        message = message_from_bytes(wheel.read(metadata))
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"trio_esdb", "trio_esdb_proto", "trio_esdb_pytest", metadata.partition("/")[0]}
    assert {"trio_esdb/__init__.py", "trio_esdb/py.typed"} <= names
    assert {"trio_esdb_proto/__init__.py", "trio_esdb_proto/py.typed"} <= names
    assert {"trio_esdb_pytest/__init__.py", "trio_esdb_pytest/py.typed"} <= names
    sources = {path.relative_to(root).as_posix() for path in (root / "trio_esdb").rglob("*.py")}
    assert sources <= names
    needed = {re.split("[<>=;]", need)[0] for need in message.get_all("Requires-Dist", []) if "extra" not in need}
    assert needed == {"betterproto2", "grpclib", "h2", "hpack", "trio"}


def test_source_distribution(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with tarfile.open(tmp_path / build_sdist(str(tmp_path))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "trio_esdb/py.typed",
        "gen/trio_esdb_proto/py.typed",
        "trio_esdb_pytest/py.typed",
        "protos/streams.proto",
        "LICENSE",
        "README.md",
    } <= names
    assert not [name for name in names if name.startswith(".venv")]
