"""Hold recorded conversations with a node and show where it answers otherwise than a real 24.10.4 node.

    python -m tests.conformance.run HOST:PORT [--only PREFIX ...] [--show LINES]
    python -m tests.conformance.run HOST:PORT --write record.json

The node must be fresh (streams are named after scenarios) and without projections, and insecure but for the scenarios
of users and access, which need a node with TLS and ``--ca FILE``. With ``embedded`` for an address each scenario meets
an embedded node of its own.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.support.nodes import Nodes

from . import driver
from .records import WITH_USERS, credentials, expected, golden, scenarios, schema


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run")
    parser.add_argument("address", metavar="HOST:PORT", help="a fresh node, or `embedded`")
    parser.add_argument("--only", nargs="*", default=[""], metavar="PREFIX", help="scenarios that begin like this")
    parser.add_argument("--show", type=int, default=30, help="lines of difference to show for each scenario")
    parser.add_argument("--write", type=Path, help="write a record instead of comparing")
    parser.add_argument("--raw", action="store_true", help="with --write: positions, times and ids as they came")
    parser.add_argument("--ca", type=Path, help="the CA of a node with users, for the scenarios about them")
    options = parser.parse_args(arguments)
    names = [name for name in scenarios() if any(name.startswith(prefix) for prefix in options.only)]
    if options.address != "embedded":
        names = [name for name in names if name.startswith(WITH_USERS) == (options.ca is not None)]
    ca = options.ca.read_bytes() if options.ca else None
    record = {}
    with ExitStack() as stack:
        nodes = stack.enter_context(Nodes.running()) if options.address == "embedded" else None
        for name in names:
            address = options.address
            if nodes is not None:
                address = f"127.0.0.1:{nodes.start(users=name.startswith(WITH_USERS))}"
            host, _, port = address.rpartition(":")
            began = time.monotonic()
            metadata = credentials(name)
            record[name] = driver.hold(schema(), host, int(port), name, metadata=metadata, tls_ca=ca, raw=options.raw)
            print(f"{time.monotonic() - began:6.1f} s  {name}", file=sys.stderr, flush=True)
    if options.write:
        driver.write(record, options.write)
        return 0
    alike = sum(_compare(name, record[name], options.show) for name in names)
    print(f"{alike} alike, {len(names) - alike} not")
    return 0 if alike == len(names) else 1


def _compare(name: str, steps: list[dict], show: int) -> bool:
    want, got = expected(name, golden()[name]), expected(name, steps)
    if want == got:
        return True
    print(f"--- {name}")
    difference = list(difflib.unified_diff(lines(want), lines(got), "24.10.4", "this node", lineterm="", n=4))[2:]
    print("\n".join(difference[:show]) + ("\n..." if len(difference) > show else ""))
    return False


def lines(steps: list[dict]) -> list[str]:
    return json.dumps(steps, indent=1, sort_keys=True, ensure_ascii=False).splitlines()


if __name__ == "__main__":
    raise SystemExit(main())
