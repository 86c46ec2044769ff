"""``python -m benchmarks.replay`` runs a replay node.

It prints its port, and then the processor time that it has used for each line that it reads from stdin.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import ssl
import sys
import threading
import time

from ._connection import Connection
from ._events import gossip, supported_methods
from ._wires import PlainWire, TLSWire

VERSION = "24.10.4"


def main() -> None:
    """Serve until stdin is closed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--core", type=int, help="the processor to stay on")
    arguments.add_argument("--certificate", help="a file with a private key and its chain: serve TLS")
    options = arguments.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
        context.set_alpn_protocols(["h2"])
    listener = socket.create_server((options.host, options.port), backlog=1024)
    port = listener.getsockname()[1]
    known = {
        "/event_store.client.server_features.ServerFeatures/GetSupportedMethods": supported_methods(VERSION),
        "/event_store.client.gossip.Gossip/Read": gossip(options.host, port),
    }
    threading.Thread(target=_accept, args=(listener, context, known), daemon=True).start()
    print(port, flush=True)
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


def _accept(listener: socket.socket, context: ssl.SSLContext | None, known: dict[str, bytes]) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_serve, args=(client, context, known), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext | None, known: dict[str, bytes]) -> None:
    with contextlib.suppress(OSError), contextlib.closing(client):
        Connection(PlainWire(client) if context is None else TLSWire(client, context), known).run()


main()
