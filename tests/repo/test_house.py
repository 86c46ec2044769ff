"""Rules about the files of the project themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

TOP_LEVEL = [
    "trio_esdb",
    "trio_esdb_pytest",
    "protos",
    "gen",
    "tests",
    "benchmarks",
    "docs",
    "examples",
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "docker-compose.yml",
    "justfile",
    "pyproject.toml",
]

# Written in pieces, so that this file does not name them either.
REGISTRIES = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.",
    "yarn" + "pkg.com",
    "crates" + ".io",
    "docker" + ".io",
    "docker" + ".com",
    "docker.event" + "store.com",
    "cloud" + "smith",
    "ghcr" + ".io",
    "gcr" + ".io",
    "quay" + ".io",
    "deb." + "debian.org",
    "proxy." + "golang.org",
]
MACHINE_PATHS = re.compile(r"(?<![\w.}])/(?:work|root|home|Users|mnt|opt)/\w")


def files(root: Path) -> Iterator[tuple[str, str]]:
    """The project's text files: their names and what is in them."""
    for top in TOP_LEVEL:
        path = root / top
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            inside = file.relative_to(path).parts
            if file.is_file() and not any(part.startswith((".", "_build")) or part == "__pycache__" for part in inside):
                yield file.relative_to(root).as_posix(), file.read_text(errors="replace")


def test_no_file_names_a_package_registry(root: Path) -> None:
    assert [(name, host) for name, text in files(root) for host in REGISTRIES if host in text] == []


def test_no_file_names_a_path_of_a_machine(root: Path) -> None:
    assert [(name, found[0]) for name, text in files(root) for found in MACHINE_PATHS.finditer(text)] == []


def test_there_is_no_lock_file(root: Path) -> None:
    assert [path.name for path in root.iterdir() if "lock" in path.name or path.name.startswith("requirements")] == []


@pytest.mark.parametrize("service", ["plain", "secure", "node-1", "node-2", "node-3"])
def test_the_servers_of_docker_compose_can_be_waited_for(root: Path, service: str) -> None:
    services = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    assert services[service]["healthcheck"]["test"]
