"""grpcio's server in threads of its own. Each call gets the next reply; a call without one is never answered."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import trio

from tests.support.versions import FEATURES
from trio_esdb_proto.event_store.client.server_features import SupportedMethods


@dataclass
class Reply:
    """The answer to one call, and what the server saw of the call. Without a code the call never ends."""

    messages: Sequence[bytes] = ()
    code: grpc.StatusCode | None = grpc.StatusCode.OK
    details: str = ""
    trailers: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    requests: Sequence[bytes] = ()
    client: Sequence[bytes] = ()
    """The name in the certificate that the client showed."""
    asked: trio.Event = field(default_factory=trio.Event)
    """Set when all requests have come."""
    over: trio.Event = field(default_factory=trio.Event)
    """Set when the call has ended, however."""
    given_up: bool = False
    """Whether the client ended the call before the server did."""


class Foreign(grpc.GenericRpcHandler):
    """Serves all methods."""

    def __init__(self) -> None:
        self.port = 0
        self.version = "24.10.4"
        """What it tells of itself."""
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        self._server: grpc.Server | None = None

    @property
    def uri(self) -> str:
        return f"esdb://127.0.0.1:{self.port}?Tls=false"

    def will(self, *replies: Reply) -> None:
        """Answer the next calls like this."""
        for reply in replies:
            self._replies.put(reply)

    def stop(self) -> None:
        """End every connection; waits until that is done."""
        assert self._server is not None
        self._server.stop(None).wait()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path = handler_call_details.method
        if path == FEATURES:
            told = SupportedMethods(event_store_server_version=self.version)
            return grpc.unary_unary_rpc_method_handler(lambda request, context: bytes(told))
        return grpc.stream_stream_rpc_method_handler(lambda requests, context: self._serve(path, requests, context))

    def _serve(self, path: str, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        try:
            reply = self._replies.get_nowait()
        except queue.Empty:
            reply = Reply(code=None)
        over = threading.Event()
        done = False

        def ended() -> None:
            reply.given_up = not done
            over.set()
            self._token.run_sync_soon(reply.over.set)

        context.add_callback(ended)
        reply.path = path
        reply.client = tuple(context.auth_context().get("x509_common_name", ()))
        reply.metadata = dict(context.invocation_metadata())
        reply.timeout = context.time_remaining()
        reply.requests = list(requests)
        self._token.run_sync_soon(reply.asked.set)
        yield from reply.messages
        if reply.code is None:
            over.wait()
            return
        done = True
        context.set_trailing_metadata(tuple(reply.trailers.items()))
        if reply.code is not grpc.StatusCode.OK:
            context.abort(reply.code, reply.details)

    @classmethod
    @contextmanager
    def running(cls, credentials: grpc.ServerCredentials | None = None, **options: Any) -> Iterator[Foreign]:
        """A server on a free port, with grpcio's options; with credentials it speaks TLS."""
        with ThreadPoolExecutor(4) as threads:
            self = cls()
            channel_options = [("grpc.max_receive_message_length", 20 << 20), ("grpc.so_reuseport", 0)]
            self._server = server = grpc.server(threads, options=channel_options, **options)
            server.add_generic_rpc_handlers([self])
            if credentials is None:
                self.port = server.add_insecure_port("127.0.0.1:0")
            else:
                self.port = server.add_secure_port("127.0.0.1:0", credentials)
            server.start()
            try:
                yield self
            finally:
                server.stop(None).wait()
