"""The command line: ``trio-esdb serve`` and ``trio-esdb demo``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from trio_esdb._errors import ESDBError

__all__ = ["main"]

_LAST_PORT = 65_535
_MOST_NODES = 9
_SIGPIPE_STATUS = 141
"""What a shell reports of a program whose output nobody reads any more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the process's exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "serve":
        _check_ports(parser, options)
    try:
        if options.command == "serve" and options.nodes > 1:
            from ._serve_cluster import serve_cluster

            trio.run(serve_cluster, options)
        elif options.command == "serve":
            from ._serve import serve

            trio.run(serve, options)
        else:
            from ._demo import demo

            trio.run(demo, options.address, options.orders)
        sys.stdout.flush()
    except (ESDBError, OSError, trio.TooSlowError, KeyboardInterrupt, SystemExit, BaseExceptionGroup) as exc:
        return _failure(exc)
    return 0


def _failure(exc: BaseException) -> int:
    """The exit status for what ended a command. Prints one line about what a user can mend; raises what is a bug."""
    leaves = _leaves(exc)
    if any(isinstance(leaf, BrokenPipeError | SystemExit) for leaf in leaves):  # rich makes a SystemExit of it
        # Whoever reads our output has had enough. What is left of it must not fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGPIPE_STATUS
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return 130
    if not all(isinstance(leaf, ESDBError | OSError | trio.TooSlowError) for leaf in leaves):
        raise exc
    print(f"trio-esdb: {str(leaves[0]) or 'the node is too slow'}", file=sys.stderr)
    return 1


def _leaves(exc: BaseException) -> list[BaseException]:
    """The exceptions that a nursery's group holds, which may hold groups in turn."""
    if isinstance(exc, BaseExceptionGroup):
        return [leaf for each in exc.exceptions for leaf in _leaves(each)]
    return [exc]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trio-esdb", description="A client for EventStoreDB and KurrentDB, and a node for development and tests."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser(
        "serve",
        help="run an embedded node on a TCP port, or a cluster of nodes",
        description="Run an embedded node, or a cluster of nodes: in memory, for development and tests. It is not a "
        "database. It prints its address, which is a connection string for clients.",
        epilog="A cluster takes commands on standard input, a line each, and answers each by a line: nodes (number, "
        "address and state of each), kill N, terminate N, restart N, freeze N, wake N, resign (the leader), "
        "partition N (from the other nodes; clients still reach it), heal.",
    )
    serve.add_argument(
        "--nodes",
        type=_nodes,
        default=1,
        metavar="N",
        help="a cluster of so many nodes, on consecutive ports; it has a leader while more than half of them can reach "
        "each other (default: a single node)",
    )
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    serve.add_argument(
        "--port", type=_port, default=2113, help="the port, of the first node; 0 for free ones (default: %(default)s)"
    )
    serve.add_argument(
        "--advertise",
        type=_endpoint,
        default=(None, None),
        metavar="HOST[:PORT]",
        help="what clients are told by gossip; the port is that of the first node (default: where the node listens, "
        "127.0.0.1 for all addresses)",
    )
    serve.add_argument(
        "--tls",
        type=Path,
        metavar="DIR",
        help="use TLS, with the certificates in this folder (ca/ca.crt, node.crt, node.key; of a cluster "
        "node1/node.crt and so on), which are made if it is empty; making them needs trio-esdb[tls-server]",
    )
    serve.add_argument(
        "--users",
        action="store_true",
        help="users must log in, and access is controlled; the first users are admin and ops, with the password "
        "changeit",
    )
    serve.add_argument(
        "--grace",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="how long open calls may go on after SIGTERM or Ctrl-C (default: %(default)g)",
    )
    serve.add_argument(
        "--max-connections",
        type=_connections,
        metavar="N",
        help="connections that a node keeps at once (default: 1000, or what the limit of open files admits)",
    )
    serve.add_argument(
        "--preface-timeout",
        type=_timeout,
        default=10.0,
        metavar="SECONDS",
        help="the time in which a client must begin to speak HTTP/2 (default: %(default)g)",
    )
    serve.add_argument(
        "--idle-timeout",
        type=_timeout,
        default=300.0,
        metavar="SECONDS",
        help="how long a connection without calls is kept (default: %(default)g)",
    )
    demo = commands.add_parser(
        "demo",
        help="append orders in one task, subscribe to them in another",
        description="Append orders in one task, subscribe to them in another, and show both.",
    )
    demo.add_argument(
        "--address",
        default="esdb://embedded",
        metavar="URI",
        help="a node, such as esdb://localhost:2113?Tls=false (default: one inside the process)",
    )
    demo.add_argument("--orders", type=_count, default=12, help="how many orders, at most 100 (default: %(default)s)")
    return parser


def _check_ports(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the program where the ports of the further nodes would be none."""
    for option, first in (("--port", options.port), ("--advertise", options.advertise[1])):
        if first and first + options.nodes - 1 > _LAST_PORT:
            parser.error(
                f"argument {option}: {options.nodes} nodes need the ports {first} to {first + options.nodes - 1}, and "
                f"the last one is {_LAST_PORT}"
            )


def _nodes(text: str) -> int:
    return _number(text, 1, _MOST_NODES)


def _port(text: str) -> int:
    return _number(text, 0, _LAST_PORT)


def _count(text: str) -> int:
    return _number(text, 1, 100)


def _connections(text: str) -> int:
    return _number(text, 1, 1_000_000)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)


def _timeout(text: str) -> float:
    seconds = _seconds(text)
    if not seconds:
        raise argparse.ArgumentTypeError("a timeout must be more than 0 seconds")
    return seconds


def _endpoint(text: str) -> tuple[str, int | None]:
    """HOST or HOST:PORT, an IPv6 address in brackets."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(?::([0-9]+))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST or HOST:PORT; an IPv6 address stands in brackets")
    return match[1].strip("[]"), None if match[2] is None else _number(match[2], 1, _LAST_PORT)


def _number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
    return int(text)
