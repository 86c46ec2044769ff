"""Gossip and ServerFeatures: the members of the cluster, and the methods of the node."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from trio_esdb._transport._handlers import SyncHandler
from trio_esdb_proto.event_store.client import Uuid, UuidStructured
from trio_esdb_proto.event_store.client.gossip import ClusterInfo, EndPoint, MemberInfo
from trio_esdb_proto.event_store.client.server_features import SupportedMethod, SupportedMethods

from .._dotnet._guids import to_halves
from ._context import NodeContext
from ._membership import Member
from ._unary import always_answered

SERVER_VERSION = "24.10.4"
"""The version of the node that this one imitates."""

_PERSISTENT = "event_store.client.persistent_subscriptions.persistentsubscriptions"
_STREAMS = "event_store.client.streams.streams"
_FEATURES = {
    (_STREAMS, "read"): ["position", "events"],
    (_STREAMS, "batchappend"): ["deadline_duration"],
}


def gossip_method(context: NodeContext) -> SyncHandler:
    """Gossip.Read: the members of the cluster, as this node sees them."""

    def respond() -> bytes:
        return bytes(ClusterInfo(members=list(map(_member, context.membership.members()))))

    return always_answered(respond)


def _member(member: Member) -> MemberInfo:
    most, least = to_halves(member.instance)
    return MemberInfo(
        instance_id=Uuid(structured=UuidStructured(most_significant_bits=most, least_significant_bits=least)),
        time_stamp=member.time_stamp,
        state=member.state,
        is_alive=member.is_alive,
        http_end_point=EndPoint(address=member.host, port=member.port),
    )


def features_method(paths: Iterable[str]) -> SyncHandler:
    """ServerFeatures.GetSupportedMethods, for a node that has these paths."""
    named = tuple(paths)
    return always_answered(lambda: _supported(named))


@cache  # the same for all nodes of a process; encoding it takes as long as all else that a start does
def _supported(paths: tuple[str, ...]) -> bytes:
    methods = []
    for path in paths:
        service, method = path[1:].lower().split("/")
        features = ["stream", "all"] if service == _PERSISTENT else _FEATURES.get((service, method), [])
        methods.append(SupportedMethod(method_name=method, service_name=service, features=features))
    return bytes(SupportedMethods(methods=methods, event_store_server_version=SERVER_VERSION))
