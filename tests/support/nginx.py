"""nginx as a proxy in front of a node."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.support.clock import PATIENCE

# Distributions install it where only root's PATH leads.
NGINX = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
MISSING = "nginx is not installed (Debian's package is called nginx)"

_CONFIG = """
daemon off;
worker_processes 1;
worker_shutdown_timeout 1s;
pid nginx.pid;
error_log stderr {log};
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} http2 {tls};
        client_max_body_size 0;
        {directives}
        location / {{ grpc_pass {upstream}; }}
    }}
}}
"""


class Nginx:
    """A proxy that runs, and the port that it listens on."""

    def __init__(self, process: trio.Process, port: int) -> None:
        self._process = process
        self.port = port
        self.errors: list[str] = []
        """The lines of its error log."""
        self._more = trio.Event()

    def reload(self) -> None:
        """Begin with new workers; the old ones have a second to end."""
        self._process.send_signal(signal.SIGHUP)

    async def logged(self, text: str, times: int = 1) -> None:
        """Wait until there are so many lines in its log with this text."""
        while sum(text in line for line in self.errors) < times:
            self._more = trio.Event()
            await self._more.wait()

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        unread = b""
        async for portion in self._process.stderr:
            *lines, unread = (unread + portion).split(b"\n")
            self.errors += (line.decode() for line in lines)
            self._more.set()

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        upstream: str,
        folder: Path,
        *directives: str,
        certificate: tuple[bytes, bytes] | None = None,
        port: int = 0,
        log: str = "notice",
    ) -> AsyncIterator[Nginx]:
        """A proxy for this ``host:port``.

        Args:
            upstream: Where the node listens.
            folder: An empty folder for its files.
            *directives: What else its server is to obey.
            certificate: Certificate chain and key in PEM, for TLS.
            port: The port to listen on; 0 picks a free one.
            log: From which level on it logs.
        """
        assert NGINX is not None
        tls = ""
        if certificate is not None:
            (folder / "chain.pem").write_bytes(certificate[0])
            (folder / "key.pem").write_bytes(certificate[1])
            tls = "ssl"
            directives += ("ssl_certificate chain.pem;", "ssl_certificate_key key.pem;")
        with socket.socket() as listener:  # it inherits the socket: nobody can take the port in between
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
            port = listener.getsockname()[1]
            (folder / "nginx.conf").write_text(
                _CONFIG.format(
                    log=log,
                    user="user root;" if os.geteuid() == 0 else "",
                    port=port,
                    tls=tls,
                    directives="\n        ".join(directives),
                    upstream=f"grpc://{upstream}",
                )
            )
            with trio.fail_after(PATIENCE):
                process: trio.Process = await trio.lowlevel.open_process(
                    [NGINX, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"],
                    stdin=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(listener.fileno(),),
                    env={**os.environ, "NGINX": f"{listener.fileno()};"},
                )
        async with trio.open_nursery() as nursery:
            self = cls(process, port)
            nursery.start_soon(self._read_log)
            try:
                yield self
            finally:
                if process.poll() is None:
                    process.terminate()
                with trio.CancelScope(shield=True):
                    with trio.move_on_after(PATIENCE):
                        await process.wait()
                    process.kill()
                nursery.cancel_scope.cancel()
