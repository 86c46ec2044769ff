"""HTTP/1.1 on the port of a server that speaks HTTP/2.

The health checks of containers and test tools ask by HTTP/1.1 for ``/health/live``, as a real node has it. Whoever asks
for anything else in HTTP/1.1, or speaks TLS or nothing known, learns from the status 400 that this is the wrong port.
One request is answered, then the connection ends.
"""

from __future__ import annotations

import re

_HEAD_LIMIT = 8 * 1024
_REQUEST_LINE = re.compile(rb"([A-Z]+) ([\x21-\x7e]+) HTTP/1\.[01]")
_BEGINNING = re.compile(rb"[A-Z]{1,20}( [\x20-\x7e]*)?\r?")
"""What may become a request line."""
_LIVE_CODE = re.compile(rb"(?:.*[?&])?liveCode=([23]\d\d)(?:&.*)?")


def http1_answer(data: bytes) -> bytes | None:
    """What to answer to the first bytes of a connection that do not begin HTTP/2.

    Args:
        data: All that has come on the connection.

    Returns:
        The whole answer, or None while the request may still become one.
    """
    line, found, rest = data.partition(b"\r\n")
    request = _REQUEST_LINE.fullmatch(line)
    if request is None if found else _BEGINNING.fullmatch(line) is None:
        return _answer(400, "Bad Request")
    if not rest.startswith(b"\r\n") and b"\r\n\r\n" not in rest:
        return None if len(data) <= _HEAD_LIMIT else _answer(431, "Request Header Fields Too Large")
    assert request is not None, "the head is whole, so its first line is"
    method, target = request.groups()
    path, _, query = target.partition(b"?")
    if path == b"/health/live" and method in (b"GET", b"HEAD"):
        code = _LIVE_CODE.fullmatch(query)
        return _answer(204, "No Content") if code is None else _answer(int(code[1]), "OK")
    return _answer(400, "Bad Request", b"" if method == b"HEAD" else _EXPLANATION)


_EXPLANATION = b"This is gRPC over HTTP/2. In HTTP/1.1 only /health/live is answered.\n"


def _answer(status: int, reason: str, body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
    if status != 204:
        head += f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    return head.encode("ascii") + b"\r\n" + body
