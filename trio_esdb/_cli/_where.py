"""Where a server is reached, and the certificates for that."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from trio_esdb._settings import Host
from trio_esdb._transport._certificates import LOCAL_NAMES
from trio_esdb.embedded import Certificates

from ._folder import AUTHORITY, certificates_in, objection


def uri_of(options: argparse.Namespace, ports: Sequence[int]) -> str:
    """A connection string for clients of this machine, without credentials.

    Args:
        options: Those of the command line.
        ports: The port of each node.
    """
    addresses = ",".join(Host(_reachable(options.host), port).address for port in ports)
    if options.tls is None:
        return f"esdb://{addresses}?Tls=false"
    return f"esdb://{addresses}?tls=true&tlsCaFile={quote(authority_of(options))}"


def authority_of(options: argparse.Namespace) -> str:
    """The file with the certificate that clients must trust."""
    return str((options.tls / AUTHORITY).resolve())


def certificates_of(options: argparse.Namespace) -> list[Certificates | None]:
    """The certificate of each node. Says it if one is not for the names by which its node is reached."""
    folder: Path | None = options.tls
    if folder is None:
        return [None] * options.nodes
    names = [name for name in (_reachable(options.host), options.advertise[0]) if name]
    certificates = certificates_in(folder, tuple(dict.fromkeys([*LOCAL_NAMES, *names])), options.nodes)
    for number, certificate in enumerate(certificates, 1):
        for name in names:
            refused = objection(certificate, name)
            if refused is not None:
                node = "the node" if options.nodes == 1 else f"node {number}"
                print(f"trio-esdb: clients that connect to {name!r} will refuse {node}: {refused}", file=sys.stderr)
    return list(certificates)


def cannot_listen(host: str, port: int, exc: OSError) -> OSError:
    """What is told of an address that cannot be listened on."""
    return OSError(f"cannot listen on {Host(host, port).address}: {exc.strerror or exc}")


def _reachable(host: str) -> str:
    """A host by which clients of this machine reach the node."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
