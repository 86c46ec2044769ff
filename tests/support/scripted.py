"""A server whose answers are scripts of the test. It remembers all requests.

Answers are built with the generated messages, not with the client's converters.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio
import trio.testing

from trio_esdb._model import NodeState
from trio_esdb._transport._handlers import AsyncHandler, Failure, ServerCall
from trio_esdb._transport._serving import ServerLink
from trio_esdb._wire import Limits, Status, Stream
from trio_esdb_proto.event_store.client import Empty, StreamIdentifier, Uuid, UuidStructured
from trio_esdb_proto.event_store.client import gossip as gossip_pb
from trio_esdb_proto.event_store.client import persistent_subscriptions as groups_pb
from trio_esdb_proto.event_store.client import streams as pb
from trio_esdb_proto.event_store.client.server_features import SupportedMethods

URI = "esdb://node-1:2113?Tls=false"
FEATURES = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods"
GOSSIP = "/event_store.client.gossip.Gossip/Read"
STREAMS = "/event_store.client.streams.Streams/"
_GROUPS = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/"
PATHS = {"Gossip": GOSSIP, "Consume": _GROUPS + "Read", "Info": _GROUPS + "GetInfo"}
"""The paths of scripts whose names are not those of methods of the Streams service."""
UNKNOWN = 2**64 - 1
"""The value that servers send for an unknown position."""


@dataclass
class Seen:
    """A call that the server received. ``over`` is set when its method ends for whatever reason."""

    method: str
    link: ServerLink
    call: ServerCall
    requests: list[bytes] = field(default_factory=list)
    over: trio.Event = field(default_factory=trio.Event)
    given_up: bool = False
    """Whether the call was cancelled: by the client, by its deadline, or with the connection."""

    @property
    def stream(self) -> Stream:
        """The call's HTTP/2 stream, as long as it is open."""
        (found,) = (stream for stream in self.link.core.streams.values() if stream.owner.call is self.call)
        return found

    @property
    def timeout(self) -> float:
        """The seconds from now to the call's deadline."""
        return self.call.deadline - trio.current_time()

    @property
    def read(self) -> pb.ReadReqOptions:
        """The options of a Read."""
        options = pb.ReadReq.parse(self.requests[0]).options
        assert options is not None
        return options

    @property
    def appended(self) -> tuple[pb.AppendReqOptions, list[pb.AppendReqProposedMessage]]:
        """The options of an Append, and its events."""
        options = pb.AppendReq.parse(self.requests[0]).options
        events = [pb.AppendReq.parse(request).proposed_message for request in self.requests[1:]]
        assert options is not None
        assert None not in events
        return options, events  # type: ignore[return-value]

    async def send(self, *messages: bytes) -> None:
        """Send responses, and wait until the client's window has room for more."""
        await self.call.send(*messages)

    async def give(self, *messages: bytes) -> None:
        """Send responses, and leave the call open."""
        await self.send(*messages)
        await trio.sleep_forever()


Script = Callable[[Seen], Awaitable[object]]


class Scripted:
    """A server: ``read``, ``append``, ``delete``, ``tombstone``, ``consume`` and ``info`` are what it does with a call.

    ``consume`` is the call of a consumer of a group, whose script runs after the first request; ``info`` is the
    question for the state of a group.

    A script returns the response, or sends responses itself and returns nothing, or raises Failure.
    """

    def __init__(self, nursery: trio.Nursery, limits: Limits | None = None) -> None:
        self.seen: list[Seen] = []
        self.links: list[ServerLink] = []
        self.streams: list[trio.abc.Stream] = []
        """The server's ends of the connections."""
        self.script: dict[str, Script] = {}
        self.methods = {"Read", "Append", "Delete", "Tombstone", "Consume", "Info"}
        """What new connections offer."""
        self.version = "24.10.4"
        """What it tells of itself; empty if it does not know how to."""
        self.tell_version: Script | None = None
        """What it does instead when it is asked for its version."""
        self.versions_told = 0
        """How often it was asked for that."""
        self.gossip: Script | None = None
        """What it does when it is asked for the members of its cluster."""
        self.early = {"Consume"}
        """Methods whose script runs after the first request, while others are still to come."""
        self._nursery = nursery
        self._limits = limits

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("read", "append", "delete", "tombstone", "consume", "info"):
            self.script[name.capitalize()] = value
        else:
            object.__setattr__(self, name, value)

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """A client's end of a new connection."""
        await trio.lowlevel.checkpoint()
        client, server = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._link(server).run)
        return client

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one connection, as ``trio.serve_listeners`` takes it."""
        await self._link(stream).run()

    def _link(self, server: trio.abc.Stream) -> ServerLink:
        methods: dict[str, AsyncHandler] = {}
        link = ServerLink(server, methods, lambda path: Failure(Status.UNIMPLEMENTED, path), self._limits)
        for name in self.methods:
            methods[PATHS.get(name, STREAMS + name)] = AsyncHandler(partial(self._run, link))
        if self.version:
            methods[FEATURES] = AsyncHandler(partial(self._tell_version, link))
        if self.gossip is not None:
            methods[GOSSIP] = AsyncHandler(partial(self._run, link))
        self.links.append(link)
        self.streams.append(server)
        return link

    async def _tell_version(self, link: ServerLink, call: ServerCall) -> None:
        self.versions_told += 1
        if self.tell_version is not None:
            await self.tell_version(Seen(call.path, link, call))
        await call.send(bytes(SupportedMethods(event_store_server_version=self.version)))

    @property
    def calls(self) -> list[Seen]:
        """The calls that are no questions for the members of the cluster."""
        return [seen for seen in self.seen if seen.method != "Gossip"]

    @property
    def gossips(self) -> int:
        """How often it was asked for the members of its cluster."""
        return len(self.seen) - len(self.calls)

    @property
    def open_calls(self) -> int:
        """The number of open streams on all connections."""
        return sum(len(link.core.streams) for link in self.links)

    async def _run(self, link: ServerLink, call: ServerCall) -> None:
        name = next((name for name, path in PATHS.items() if path == call.path), call.path.removeprefix(STREAMS))
        seen = Seen(name, link, call)
        self.seen.append(seen)
        try:
            while seen.method not in self.early or not seen.requests:
                try:
                    seen.requests.append(await call.receive())
                except trio.EndOfChannel:
                    break
            script = self.gossip if name == "Gossip" else self.script[name]
            assert script is not None
            answer = await script(seen)
            if isinstance(answer, bytes):
                await call.send(answer)
        except trio.Cancelled:
            seen.given_up = True
            raise
        finally:
            seen.over.set()


class ScriptedNodes:
    """Several servers, found by their host names. Those ``down`` refuse connections, ``frozen`` ones say nothing."""

    def __init__(self, nursery: trio.Nursery, *names: str) -> None:
        self.nodes = {name: Scripted(nursery) for name in names}
        self.down: set[str] = set()
        self.frozen: set[str] = set()
        self.asked: list[str] = []
        """The hosts that connections were asked for, one after the other."""

    def __getitem__(self, name: str) -> Scripted:
        return self.nodes[name]

    def cluster(self, leader: str | None, **views: str | None) -> None:
        """From now on the nodes are a cluster with this leader. ``views`` has the leader as single nodes see it."""
        for name, node in self.nodes.items():
            node.gossip = partial(self._tell, views.get(name, leader))

    async def _tell(self, leader: str | None, seen: Seen) -> bytes:
        others = NodeState.FOLLOWER if leader is not None else NodeState.UNKNOWN
        members = ((name, 2113, NodeState.LEADER if name == leader else others) for name in self.nodes)
        return cluster(*members, dead=self.down)

    @property
    def uri(self) -> str:
        """The connection string of a client of all nodes."""
        return f"esdb://{','.join(f'{name}:2113' for name in self.nodes)}?tls=false"

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """A client's end of a new connection."""
        self.asked.append(host)
        await trio.lowlevel.checkpoint()
        if host not in self.nodes:
            raise OSError(f"no such host: {host}")
        if host in self.down:
            raise ConnectionRefusedError(111, "Connection refused")
        if host in self.frozen:
            client, _server = trio.testing.memory_stream_pair()
            return client
        return await self.nodes[host].connect(host, port)


class Door:
    """A ``connect`` that counts its ``attempts``. Each waits the seconds that ``delays`` has for it; those beyond the
    list wait as long as its last.
    """

    def __init__(self, server: Scripted, *delays: float) -> None:
        self.attempts = 0
        self._server = server
        self._delays = delays

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """A client's end of a new connection, in time."""
        delay = self._delays[min(self.attempts, len(self._delays) - 1)]
        self.attempts += 1
        await trio.sleep(delay)
        return await self._server.connect(host, port)


def not_leader(leader: str | None, port: int | str = 2113) -> Script:
    """A script that says that this node is not the leader, and which is; None if it knows of none."""
    if leader is None:
        return fails(Status.UNKNOWN, "No leader info available in response")
    named = {"leader_endpoint_host": leader, "leader_endpoint_port": str(port)}
    return fails(Status.NOT_FOUND, "Leader info available", exception="not-leader", **named)


def says(*messages: bytes) -> Script:
    """A script that gives these messages and ends well."""

    async def run(seen: Seen) -> None:
        await seen.send(*messages)

    return run


def goes_on(*messages: bytes) -> Script:
    """A script that gives these messages and stays open."""

    async def run(seen: Seen) -> None:
        await seen.give(*messages)

    return run


def fails(status: Status, message: str = "", after: tuple[bytes, ...] = (), **trailers: str) -> Script:
    """A script that ends the call with this status."""

    async def run(seen: Seen) -> None:
        if after:
            await seen.send(*after)
        raise Failure(status, message, {key.replace("_", "-"): value for key, value in trailers.items()})

    return run


async def silence(seen: Seen) -> None:
    """A script that never answers."""
    await trio.sleep_forever()


def identifier(name: str) -> StreamIdentifier:
    return StreamIdentifier(stream_name=name.encode())


def recorded(
    number: int = 0,
    stream: str = "s",
    *,
    type: str = "Happened",
    data: bytes = b"{}",
    metadata: bytes = b"",
    position: int | None = None,
    prepare: int | None = None,
    id: uuid.UUID | None = None,
    content_type: str = "application/json",
    created: int = 17_000_000_000_000_000,
) -> pb.ReadRespReadEventRecordedEvent:
    """A record as a server sends it; the n-th is at position 100 * n + 50."""
    position = 100 * number + 50 if position is None else position
    return pb.ReadRespReadEventRecordedEvent(
        id=Uuid(string=str(id or uuid.UUID(int=number + 1))),
        stream_identifier=identifier(stream),
        stream_revision=number,
        commit_position=position,
        prepare_position=position if prepare is None else prepare,
        metadata={"type": type, "created": str(created), "content-type": content_type},
        custom_metadata=metadata,
        data=data,
    )


def event(number: int = 0, stream: str = "s", **more: Any) -> bytes:
    """A response that holds an event."""
    record = recorded(number, stream, **more)
    return bytes(pb.ReadResp(event=pb.ReadRespReadEvent(event=record, commit_position=record.commit_position)))


def joined(subscription_id: str = "s::g") -> bytes:
    """The confirmation of a consumer of a group."""
    confirmation = groups_pb.ReadRespSubscriptionConfirmation(subscription_id=subscription_id)
    return bytes(groups_pb.ReadResp(subscription_confirmation=confirmation))


def known(name: str, settled: int, in_flight: int = 0) -> bytes:
    """What a server tells of a group: one consumer of this name, and how many of its events are settled."""
    consumer = groups_pb.SubscriptionInfoConnectionInfo(
        connection_name=name, total_items=settled + in_flight, in_flight_messages=in_flight
    )
    info = groups_pb.SubscriptionInfo(event_source="s", group_name="g", status="Live", connections=[consumer])
    return bytes(groups_pb.GetInfoResp(subscription_info=info))


def delivered(number: int = 0, stream: str = "s", retries: int = 0, **more: Any) -> bytes:
    """A response of a group that holds an event."""
    record = groups_pb.ReadRespReadEventRecordedEvent.parse(bytes(recorded(number, stream, **more)))
    found = groups_pb.ReadRespReadEvent(event=record, commit_position=record.commit_position, retry_count=retries)
    return bytes(groups_pb.ReadResp(event=found))


def linked(link: pb.ReadRespReadEventRecordedEvent, target: pb.ReadRespReadEventRecordedEvent | None) -> bytes:
    """A response that holds a link and what it leads to, if that is still there."""
    return bytes(pb.ReadResp(event=pb.ReadRespReadEvent(event=target, link=link, commit_position=link.commit_position)))


def confirmed(subscription_id: str = "sub-1") -> bytes:
    return bytes(pb.ReadResp(confirmation=pb.ReadRespSubscriptionConfirmation(subscription_id=subscription_id)))


def checkpoint(commit: int, prepare: int | None = None) -> bytes:
    return bytes(
        pb.ReadResp(
            checkpoint=pb.ReadRespCheckpoint(
                commit_position=commit, prepare_position=commit if prepare is None else prepare
            )
        )
    )


def caught_up() -> bytes:
    return bytes(pb.ReadResp(caught_up=pb.ReadRespCaughtUp()))


def fell_behind() -> bytes:
    return bytes(pb.ReadResp(fell_behind=pb.ReadRespFellBehind()))


def not_found(stream: str = "s") -> bytes:
    return bytes(pb.ReadResp(stream_not_found=pb.ReadRespStreamNotFound(stream_identifier=identifier(stream))))


def last_position(number: int) -> bytes:
    return bytes(pb.ReadResp(last_stream_position=number))


def appended(revision: int | None, position: int | None) -> bytes:
    """The answer to an append that was done."""
    success = pb.AppendRespSuccess()
    if revision is None:
        success.no_stream = Empty()
    else:
        success.current_revision = revision
    if position is None:
        success.no_position = Empty()
    else:
        success.position = pb.AppendRespPosition(commit_position=position, prepare_position=position)
    return bytes(pb.AppendResp(success=success))


def wrong_version(current: int | None) -> bytes:
    """The answer to an append that found the stream elsewhere."""
    wrong = pb.AppendRespWrongExpectedVersion()
    if current is None:
        wrong.current_no_stream = Empty()
    else:
        wrong.current_revision = current
    return bytes(pb.AppendResp(wrong_expected_version=wrong))


def deleted(position: int | None) -> bytes:
    """The answer to a deletion or tombstoning."""
    if position is None:
        return bytes(pb.DeleteResp(no_position=Empty()))
    return bytes(pb.DeleteResp(position=pb.DeleteRespPosition(commit_position=position, prepare_position=position)))


def cluster(*nodes: tuple[str, int, str], dead: Container[str] = ()) -> bytes:
    """What a node tells of its cluster: address, port and state of each member, and the addresses of those dead."""
    return bytes(
        gossip_pb.ClusterInfo(
            members=[
                gossip_pb.MemberInfo(
                    instance_id=Uuid(
                        structured=UuidStructured(
                            most_significant_bits=1, least_significant_bits=hash_of(address, port)
                        )
                    ),
                    time_stamp=17_000_000_000_000_000,
                    state=gossip_pb.MemberInfoVNodeState[state],
                    is_alive=address not in dead,
                    http_end_point=gossip_pb.EndPoint(address=address, port=port),
                )
                for address, port, state in nodes
            ]
        )
    )


def hash_of(address: str, port: int) -> int:
    """A number for an address, the same in each run."""
    return int.from_bytes(f"{port}{address}".encode()[:7], "big")


def endless(timeout: float) -> bool:
    """Whether the client gave a call no deadline."""
    return timeout == math.inf
