"""What users can see of the differences between server versions. The contract tests expect of each what stands here."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from urllib.parse import urlsplit

import grpc

from trio_esdb_proto.event_store.client.server_features import SupportedMethods

FEATURES = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods"


class CaughtUpIs(Enum):
    """When a subscription tells that it has caught up."""

    NEVER_TOLD = "never"
    TOLD_AFTER_AN_EVENT = "for a stream that does not exist not before its first events"
    TOLD = "always"


@dataclass(frozen=True)
class Server:
    """A server, as far as the versions differ."""

    stream_reads_tell_positions: bool
    """Whether the recorded events of a stream come with their commit positions. Live ones always do."""
    links_have_positions: bool
    """Whether a resolved link among all events has its own commit position, not that of the event it leads to."""
    caught_up: CaughtUpIs
    drops_slow_consumers: bool
    """Whether a subscription ends (ConsumerTooSlowError) when its consumer stops while events are being recorded."""
    invalid_position: str
    """What a read of all events ends with that begins at a position that is no event's."""
    largest_append: int
    """Bytes of an append's events."""


_21_10 = Server(
    stream_reads_tell_positions=False,
    links_have_positions=False,
    caught_up=CaughtUpIs.NEVER_TOLD,
    drops_slow_consumers=True,
    invalid_position="Unexpected ReadAllResult: Error",
    largest_append=1024 * 1024,
)
_22_10 = replace(_21_10, stream_reads_tell_positions=True, links_have_positions=True)
_23_10 = replace(_22_10, caught_up=CaughtUpIs.TOLD_AFTER_AN_EVENT)
_24_2 = replace(
    _23_10,
    caught_up=CaughtUpIs.TOLD,
    drops_slow_consumers=False,
    invalid_position="Unexpected ReadAllResult: InvalidPosition",
)
_25_1 = replace(_24_2, largest_append=256 * 1024 * 1024)

SERVERS = {(21, 10): _21_10, (22, 10): _22_10, (23, 10): _23_10, (24, 2): _24_2, (25, 1): _25_1}
"""From which version on a server is like this."""


def server_of(version: str) -> Server:
    """What a version does."""
    numbers = tuple(int(number) for number in version.split(".")[:2])
    known = [since for since in SERVERS if since <= numbers]
    if not known:
        raise ValueError(f"nothing is known of version {version!r}; ESDB_TEST_VERSION can name the true one")
    return SERVERS[max(known)]


@cache
def version_at(uri: str) -> str:
    """The version of the server at an address. It is asked by grpcio: the client under test has no part in it."""
    named = os.environ.get("ESDB_TEST_VERSION")
    if named is not None:
        return named
    with grpc.insecure_channel(urlsplit(uri).netloc) as channel:
        answer = channel.unary_unary(FEATURES)(b"", timeout=30, wait_for_ready=True)
    return SupportedMethods.parse(answer).event_store_server_version
