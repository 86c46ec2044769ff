"""What importing the package does to the program that imports it: nothing but to load what it needs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

LOOK = """
import json, logging, os, sys, threading, warnings

def look():
    return {
        "environment": dict(os.environ),
        "filters": len(warnings.filters),
        "handlers": [repr(handler) for handler in logging.root.handlers],
        "level": logging.root.level,
        "disabled": logging.root.manager.disable,
        "threads": threading.active_count(),
        "hooks": [repr(sys.excepthook), repr(threading.excepthook), repr(sys.unraisablehook)],
    }

import trio
before = look()
import MODULE
logger = logging.getLogger("trio_esdb")
own = {"handlers": logger.handlers, "level": logger.level, "propagate": logger.propagate}
print(json.dumps({"before": before, "after": look(), "own": own, "modules": sorted(sys.modules)}))
"""

# grpclib's modules that use no event loop
LOOP_FREE = {"grpclib.config", "grpclib.const", "grpclib.exceptions", "grpclib.metadata"}


def seen_by_importing(module: str) -> dict[str, Any]:
    """What a new interpreter sees before and after importing a module."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOOK.replace("MODULE", module)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize("module", ["trio_esdb", "trio_esdb.embedded", "trio_esdb.testing", "trio_esdb.__main__"])
def test_importing_has_no_effects(module: str) -> None:
    seen = seen_by_importing(module)
    assert seen["before"] == seen["after"]
    assert seen["own"] == {"handlers": [], "level": 0, "propagate": True}
    roots = {name.partition(".")[0] for name in seen["modules"]}
    assert "trio_esdb" in roots
    assert not roots & {"asyncio", "google", "grpc", "matplotlib", "pytest", "rich", "trustme"}
    assert "trio.testing" not in seen["modules"], "it takes long to load"


def test_the_embedded_node_is_loaded_only_when_asked_for() -> None:
    for module in ("trio_esdb", "trio_esdb.testing"):
        assert not [name for name in seen_by_importing(module)["modules"] if name.startswith("trio_esdb.embedded")]


def imported(path: Path) -> set[str]:
    """The modules of other packages that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def test_one_file_uses_grpclib_and_only_what_has_no_loop(root: Path) -> None:
    users = {}
    for path in [*(root / "trio_esdb").rglob("*.py"), *(root / "gen").rglob("*.py")]:
        found = {name for name in imported(path) if name.partition(".")[0] == "grpclib"}
        if found:
            users[path.relative_to(root).as_posix()] = found
    assert list(users) == ["trio_esdb/_wire/_grpc.py"]
    assert users["trio_esdb/_wire/_grpc.py"] <= LOOP_FREE


def test_what_is_imported_is_declared(root: Path) -> None:
    """The package may import what its dependencies bring, but only if it is named as a dependency as well."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    required = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    declared = {re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in required}
    distributions = packages_distributions()
    for path in (root / "trio_esdb").rglob("*.py"):
        for name in {name.split(".")[0] for name in imported(path)} - sys.stdlib_module_names:
            if name not in ("trio_esdb", "trio_esdb_proto"):
                assert declared.intersection(distributions[name]), f"{path}: {name}"
