"""Scenarios of the small services: features, gossip, monitoring, operations."""

from __future__ import annotations

from .driver import scenario

F = "/event_store.client.server_features.ServerFeatures/"
G = "/event_store.client.gossip.Gossip/"
M = "/event_store.client.monitoring.Monitoring/"
OPS = "/event_store.client.operations.Operations/"


@scenario("features/supported-methods")
def _(t):
    t.ask(F + "GetSupportedMethods", {})


@scenario("gossip/read")
def _(t):
    t.ask(G + "Read", {})


@scenario("monitoring/stats")
def _(t):
    call = t.open(M + "Stats")
    call.send({"use_metadata": False, "refresh_time_period_in_ms": 300}).half_close()
    call.recv(2)
    for s in t.steps:
        if s.get("got") == "message":
            names = s["body"].get("stats", {})
            s["body"] = {"stats about": sorted({n.split("-")[0] for n in names})}
    call.cancel()


@scenario("unknown-method")
def _(t):
    import grpc

    for path in ("/event_store.client.streams.Streams/NoSuch", "/no.such.Service/Read"):
        try:
            t.channel.unary_unary(path)(b"", timeout=5)
            t.say("answered")
        except grpc.RpcError as e:
            t.note({"got": "end", "call": path, "code": e.code().name, "details": e.details(), "trailers": {}})


@scenario("operations/some")
def _(t):
    t.ask(OPS + "MergeIndexes", {})
    t.ask(OPS + "SetNodePriority", {"priority": 1})
    t.ask(OPS + "SetNodePriority", {"priority": 0})
    t.ask(OPS + "RestartPersistentSubscriptions", {})
    t.ask(OPS + "StopScavenge", {"options": {"scavenge_id": "nope"}})
