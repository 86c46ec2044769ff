"""Compressed requests: gzip and deflate, which a real node takes too. Responses are never compressed.

A message of some kilobytes can stand for gigabytes. So no more is decompressed than a request may have, and a request
is decompressed only when its handler takes it: what waits for a handler waits in its small form.
"""

from __future__ import annotations

import zlib

from trio_esdb._wire import Status

from ._handlers import Failure, handler_failed

_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_ACCEPTED = ("identity", *_WINDOW_BITS)
"""The values of ``grpc-encoding`` that are understood."""


def decompress(message: bytes, encoding: str | None, limit: int) -> bytes:
    """The content of a message whose compression flag is set.

    Args:
        message: The message as it came.
        encoding: The call's ``grpc-encoding``, None where it has none.
        limit: The largest content in bytes.

    Raises:
        Failure: The encoding is none that a node takes, or the content is too large or damaged.
    """
    if encoding is None:
        raise Failure(Status.INTERNAL, "Request did not include grpc-encoding value with compressed message.")
    if encoding == "identity":
        raise Failure(Status.INTERNAL, "Request sent 'identity' grpc-encoding value with compressed message.")
    bits = _WINDOW_BITS.get(encoding)
    if bits is None:
        text = f"Unsupported grpc-encoding value '{encoding}'. Supported encodings: {', '.join(_ACCEPTED)}"
        raise Failure(Status.UNIMPLEMENTED, text, headers=(("grpc-accept-encoding", ",".join(_ACCEPTED)),))
    if not message:
        return b""
    decoder = zlib.decompressobj(bits)
    try:
        content = decoder.decompress(message, limit + 1)
    except zlib.error:
        raise handler_failed() from None
    if len(content) > limit:
        raise Failure(Status.RESOURCE_EXHAUSTED, "Received message exceeds the maximum configured message size.")
    if not decoder.eof or decoder.unused_data:
        raise handler_failed()
    return content
