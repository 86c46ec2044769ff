"""The methods of a server that this client calls."""

from __future__ import annotations

from enum import Enum

_STREAMS = "/event_store.client.streams.Streams/"


class Method(Enum):
    """A method; its value is the ``:path`` of its calls."""

    READ = _STREAMS + "Read"
    APPEND = _STREAMS + "Append"
    DELETE = _STREAMS + "Delete"
    TOMBSTONE = _STREAMS + "Tombstone"
    FEATURES = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods"
    GOSSIP = "/event_store.client.gossip.Gossip/Read"
