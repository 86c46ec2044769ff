"""The records of real nodes, and what of them the embedded node answers otherwise."""

from __future__ import annotations

import importlib
import json
from functools import cache
from pathlib import Path

from . import driver

FOLDER = Path(__file__).parent / "records"
PROTOS = Path(__file__).parents[2] / "protos"
MODULES = ("streams", "edges", "others", "persistent", "edges_persistent", "users", "access", "edges_access")
WITH_USERS = ("users/", "access/")
"""Beginnings of the names of scenarios for a node with users; all others are for one without."""

NOT_OFFERED: dict[str, str] = {}
"""Beginnings of the names of scenarios whose subject the embedded node does not have yet."""

DEVIATIONS = {
    "features/supported-methods": "the list of services follows what the node offers",
    "access/nobody-elsewhere": "the same",
}
"""What the embedded node answers otherwise on purpose; ``expected`` does the cutting."""

_OTHER_SERVICES = ("redaction",)


def scenarios() -> list[str]:
    """The names of all scenarios, after their modules have been loaded."""
    for name in MODULES:
        importlib.import_module(f"{__package__}.{name}")
    return sorted(driver.SCENARIOS)


def credentials(name: str) -> tuple[tuple[str, str], ...]:
    """The metadata with which the calls of a scenario are made, where it says nothing else: those of an admin."""
    return (("authorization", driver.basic("admin", "changeit")),) if name.startswith(WITH_USERS) else ()


@cache
def schema() -> driver.Schema:
    """Messages and methods as protoc reads them from our .proto files."""
    return driver.Schema(PROTOS)


@cache
def golden() -> dict[str, list[dict]]:
    """What a real 24.10.4 node answers."""
    return {
        name: steps
        for file in ("24.10.4-insecure.json", "24.10.4-edges.json", "24.10.4-tls.json", "24.10.4-edges-tls.json")
        for name, steps in json.loads((FOLDER / file).read_text()).items()
    }


def expected(name: str, steps: list[dict]) -> list[dict]:
    """A record without what the embedded node does not offer; the same is done to its own answers."""
    return [_only_offered(step) for step in steps] if name in DEVIATIONS else steps


def _only_offered(step: dict) -> dict:
    methods = step.get("body", {}).get("methods")
    if methods is None:
        return step
    kept = [m for m in methods if m["service_name"].split(".")[2] not in _OTHER_SERVICES]
    return {**step, "body": {**step["body"], "methods": kept}}
