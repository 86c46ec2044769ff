"""The methods of a server that this client calls."""

from __future__ import annotations

from enum import Enum

_STREAMS = "/event_store.client.streams.Streams/"
_GROUPS = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/"


class Method(Enum):
    """A method; its value is the ``:path`` of its calls."""

    READ = _STREAMS + "Read"
    APPEND = _STREAMS + "Append"
    DELETE = _STREAMS + "Delete"
    TOMBSTONE = _STREAMS + "Tombstone"
    FEATURES = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods"
    GOSSIP = "/event_store.client.gossip.Gossip/Read"
    CREATE_GROUP = _GROUPS + "Create"
    UPDATE_GROUP = _GROUPS + "Update"
    DELETE_GROUP = _GROUPS + "Delete"
    READ_GROUP = _GROUPS + "Read"
    GROUP_INFO = _GROUPS + "GetInfo"
    REPLAY_PARKED = _GROUPS + "ReplayParked"
    LIST_GROUPS = _GROUPS + "List"
    RESTART_GROUPS = _GROUPS + "RestartSubsystem"
