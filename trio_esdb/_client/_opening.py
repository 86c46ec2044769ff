"""From a request to a read or subscription that can be opened."""

from __future__ import annotations

import math
from typing import Any

import trio

from trio_esdb._rpc import Method

from ._base import Area, check_timeout
from ._receiving import Call, Receiving


def opening(
    area: Area,
    request: bytes,
    doing: str,
    stream_name: str,
    timeout: float | None,
    *,
    wanted: frozenset[type] = frozenset(),
    confirmed: bool = False,
) -> Receiving[Any]:
    """A Receiving whose call is made when its block is entered; the timeout runs from then on."""
    check_timeout(timeout)
    session = area._session

    async def open_call() -> Call:
        deadline = math.inf if timeout is None else trio.current_time() + timeout
        call = await area._stream(Method.READ, request, deadline, doing, endless=confirmed)
        return Call(
            call,
            session.decoder,
            doing=doing,
            stream_name=stream_name,
            deadline=deadline,
            wanted=wanted,
            is_closed=lambda: session.closed,
        )

    return Receiving(open_call, confirmed=confirmed)
