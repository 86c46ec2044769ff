"""The folder of certificates of ``trio-esdb serve --tls DIR``.

The files have the names that es-gencert, EventStoreDB's own tool, gives them: ``ca/ca.crt`` and ``ca/ca.key`` of the
authority, ``node.crt`` and ``node.key`` of the node. The nodes of a cluster have theirs in ``node1``, ``node2`` and so
on; or the one of a single node is shown by all. An empty folder is filled; one that has them is used, and only
``ca/ca.key`` may be missing there.

Whether what is there fits together is not read from the certificates. A client that trusts the authority shakes hands
with a server that has them, in memory: so the same code judges here that judges when a client connects.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from trio_esdb._errors import ESDBError, InvalidArgumentError
from trio_esdb._transport._certificates import issue, new_authority
from trio_esdb._transport._tls_config import make_tls_config
from trio_esdb._transport._tls_errors import failure_of
from trio_esdb.embedded import Certificates

AUTHORITY = "ca/ca.crt"
_AUTHORITY_KEY = "ca/ca.key"
_CERTIFICATE = "node.crt"
_KEY = "node.key"


def certificates_in(folder: Path, names: tuple[str, ...], nodes: int = 1) -> list[Certificates]:
    """The certificates in a folder, one for each node; they are made if it is empty.

    Args:
        folder: The folder, which is made if there is none.
        names: The names and addresses that new certificates are for.
        nodes: How many nodes there are.

    Raises:
        ESDBError: The folder has only some of the files, or only others, or no client would accept what is in them.
        OSError: The folder or its files cannot be read or written.
    """
    of_one = nodes == 1 or (folder / _CERTIFICATE).exists() or (folder / _KEY).exists()
    places = ["."] if of_one else [f"node{number}" for number in range(1, nodes + 1)]
    pairs = [(_in(place, _CERTIFICATE), _in(place, _KEY)) for place in places]
    needed = [AUTHORITY, *(name for pair in pairs for name in pair)]
    files = [name for name in (*needed, _AUTHORITY_KEY) if (folder / name).exists()]
    missing = [name for name in needed if name not in files]
    if not files:
        _fill(folder, names, pairs)
    elif missing:
        raise ESDBError(
            f"{folder} has {', '.join(files)} but not {', '.join(missing)}: add that, or name another folder"
        )
    found = [_checked(folder, *pair) for pair in pairs]
    return found * nodes if of_one else found


def _in(place: str, name: str) -> str:
    return name if place == "." else f"{place}/{name}"


def _checked(folder: Path, chain: str, key: str) -> Certificates:
    try:
        certificates = Certificates(folder / chain, folder / key, folder / AUTHORITY)
        refused = objection(certificates, None)
    except InvalidArgumentError as exc:
        raise ESDBError(
            f"the files in {folder} cannot be used: {exc} (certificate_chain is {chain}, private_key is {key}, "
            f"root_certificates is {AUTHORITY})"
        ) from None
    if refused is not None:
        where = folder if chain == _CERTIFICATE else folder / chain
        raise ESDBError(f"no client would accept the certificate in {where}: {refused}")
    return certificates


def _fill(folder: Path, names: tuple[str, ...], pairs: Sequence[tuple[str, str]]) -> None:
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.exists() else []
    if found:
        raise ESDBError(
            f"{folder} is not empty and has no certificates, which would be {AUTHORITY}, "
            f"{', '.join(name for pair in pairs for name in pair)}: add them, or name another folder"
        )
    authority = new_authority()
    _write(folder / _AUTHORITY_KEY, authority.private_key_pem.bytes(), 0o600)
    _write(folder / AUTHORITY, authority.cert_pem.bytes(), 0o644)
    for chain_file, key_file in pairs:
        chain, key = issue(authority, names)
        _write(folder / key_file, key, 0o600)
        _write(folder / chain_file, chain, 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)


def objection(certificates: Certificates, name: str | None) -> str | None:
    """What a client that trusts the authority says against the certificate of the node; None if it is content.

    Args:
        certificates: Those of the node.
        name: The name or address that the client connects to; None if it does not check names.
    """
    client = make_tls_config(root_certificates=certificates.root_certificates).context()
    client.check_hostname = name is not None
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = certificates.context().wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    for side in (theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError as exc:
            return str(failure_of(exc, side))
    return None
