"""Records an embedded cluster as real ones were recorded: gossip of each node each 100 ms, and appends on three ways.

It speaks in raw calls, so that nothing of what the client does in trouble comes between.
"""

from __future__ import annotations

import math
import ssl
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from tests.support import links
from trio_esdb._transport import ClientLink
from trio_esdb._wire import Outcome
from trio_esdb.testing import ClusterNode, EmbeddedCluster
from trio_esdb_proto.event_store.client import Empty, StreamIdentifier, Uuid
from trio_esdb_proto.event_store.client import gossip as gossip_pb
from trio_esdb_proto.event_store.client import streams as pb

from .timelines import Timeline, View

STREAMS = "/event_store.client.streams.Streams/"
GOSSIP = "/event_store.client.gossip.Gossip/Read"
PERIOD = 0.1
"""Seconds between two looks at the gossip of a node."""
SILENCE = 1.0
"""Seconds after which a node counts as silent."""
LEADER_WANTED = (("requires-leader", "true"),)


class Line:
    """A connection to a node that is opened again when it is needed."""

    def __init__(self, nursery: trio.Nursery, cluster: EmbeddedCluster, node: ClusterNode) -> None:
        self._nursery = nursery
        self._cluster = cluster
        self._node = node
        self._link: ClientLink | None = None
        self._context = None
        if cluster.root_certificates:
            self._context = ssl.create_default_context(cadata=cluster.root_certificates.decode())
            self._context.set_alpn_protocols(["h2"])

    async def link(self) -> ClientLink:
        """The connection; OSError if the node refuses it."""
        if self._link is None or self._link.core.ended or self._link.core.draining:
            stream = await self._cluster.network.connect(self._node.host, self._node.port)
            if self._context is not None:
                stream = trio.SSLStream(stream, self._context, server_hostname=self._node.host)
            link = ClientLink(stream, self._node.address)
            self._nursery.start_soon(link.run)
            if not await link.ready():
                raise ConnectionResetError
            self._link = link
        return self._link

    async def ask(
        self, path: str, *messages: bytes, more: Sequence[tuple[str, str]] = (), timeout: float = math.inf
    ) -> tuple[list[bytes], str]:
        """The answers of a call, and its end in a word or two."""
        ended = None
        found: list[bytes] = []
        with trio.move_on_after(timeout):
            try:
                link = await self.link()
            except OSError as error:
                return [], "refused" if isinstance(error, ConnectionRefusedError) else "closed"
            call = links.Call(link, links.headers(path, *more), messages)
            found = await links.Consumer(call).rest()
            ended = call.outcome
        return found, "silent" if ended is None else in_words(ended)


def in_words(outcome: Outcome) -> str:
    """How a call ended, as the records tell it."""
    if outcome.ok:
        return "OK"
    if outcome.lost:
        return "closed"
    if outcome.trailers.get("exception") == "not-leader":
        return f"not leader: {outcome.trailers['leader-endpoint-host']}:{outcome.trailers['leader-endpoint-port']}"
    for words in ("Forwarding timeout", "Commit phase timeout", "Request canceled", "Not Ready"):
        if words in outcome.message:
            return words
    return f"{outcome.status.name} {outcome.message}"


class Recorder:
    """Records a cluster. Times count from `begin`, which is called when something is done to the cluster."""

    def __init__(self, nursery: trio.Nursery, cluster: EmbeddedCluster) -> None:
        self._nursery = nursery
        self._cluster = cluster
        self._zero = trio.current_time()
        self._started = False
        self._views: list[tuple[ClusterNode, float, View]] = []
        self._appends: dict[tuple[ClusterNode, str], list[tuple[float, str, float, bytes]]] = {}
        self._calls: dict[tuple[ClusterNode, str], list[tuple[float, str]]] = {}
        for node in cluster.nodes:
            nursery.start_soon(self._watch, node)

    def begin(self) -> None:
        """Now it happens."""
        self._zero = trio.current_time()

    # -- gossip ------------------------------------------------------------------------------------------------------

    async def _watch(self, node: ClusterNode) -> None:
        line = Line(self._nursery, self._cluster, node)
        while True:
            asked = trio.current_time()
            answers, end = await line.ask(GOSSIP, bytes(Empty()), timeout=SILENCE)
            view: View = "silent" if end == "silent" else "gone"
            if end == "OK":
                members = gossip_pb.ClusterInfo.parse(answers[0]).members
                view = {self._number(member): _state(member) for member in members}
            self._views.append((node, asked, view))
            await trio.sleep(max(0, asked + PERIOD - trio.current_time()))

    def _number(self, member: gossip_pb.MemberInfo) -> str:
        assert member.http_end_point is not None
        address = f"{member.http_end_point.address}:{member.http_end_point.port}"
        return next((str(node.number) for node in self._cluster.nodes if node.address == address), address)

    # -- appends -----------------------------------------------------------------------------------------------------

    def append(self, node: ClusterNode, how: str, stream: str, *, leader_wanted: bool) -> None:
        """Append to a node each 100 ms, whatever becomes of the one before."""
        self._nursery.start_soon(self._append_all, node, how, stream, LEADER_WANTED if leader_wanted else ())

    async def append_until_cancelled(self, node: ClusterNode, stream: str) -> None:
        """The same with the leader wanted, until it is cancelled; what was sent by then is waited for."""
        await self._append_all(node, "", stream, LEADER_WANTED)

    async def _append_all(self, node: ClusterNode, how: str, stream: str, more: Sequence[tuple[str, str]]) -> None:
        line = Line(self._nursery, self._cluster, node)
        log = self._appends.setdefault((node, how), [])

        async def append(data: bytes) -> None:
            asked = trio.current_time()
            _, end = await line.ask(STREAMS + "Append", *append_request(stream, data), more=more, timeout=30)
            log.append((asked, end, trio.current_time() - asked, data))

        number = 0
        while True:
            self._nursery.start_soon(append, f"{stream}-{number}".encode())
            number += 1
            await trio.sleep(PERIOD)

    # -- calls that stay open ----------------------------------------------------------------------------------------

    async def open(
        self, node: ClusterNode, what: str, path: str, *messages: bytes, leader_wanted: bool = False
    ) -> None:
        """Open a call and note what it is told: GOAWAY, and its end."""
        link = await Line(self._nursery, self._cluster, node).link()
        more = LEADER_WANTED if leader_wanted else ()
        told = self._calls.setdefault((node, what), [])
        call = links.Call(link, links.headers(path, *more), messages, end="Read" in path)

        async def watch() -> None:
            async for batch in call.batches:
                call.drawn(batch)
            assert call.outcome is not None
            told.append((trio.current_time(), in_words(call.outcome)))

        async def watch_draining() -> None:
            while not call.draining:
                await trio.sleep(0.02)
            told.append((trio.current_time(), "GOAWAY"))

        self._nursery.start_soon(watch)
        self._nursery.start_soon(watch_draining)

    # -- the result --------------------------------------------------------------------------------------------------

    async def timeline(self, parts: dict[str, ClusterNode], fate: str | None = None) -> Timeline:
        """What was seen, told with the parts of the nodes.

        Args:
            parts: The node of each part.
            fate: The part of the node on which the streams are read, to see what was written.
        """
        part = {str(node.number): name for name, node in parts.items()}
        addresses = {node.address: name for name, node in parts.items()}
        timeline = Timeline()
        for node, at, view in self._views:
            told = view if isinstance(view, str) else {part[number]: state for number, state in view.items()}
            timeline.saw(part[str(node.number)], self._ms(at), told)
        stored = await self._stored(parts[fate]) if fate is not None else set()
        written: dict[str, list[int]] = {}
        for (node, how), log in self._appends.items():
            way = f"to {part[str(node.number)]}{how}"
            for at, end, took, data in sorted(log):
                answer = end
                if end.startswith("not leader: "):
                    answer = f"not leader: {addresses[end.removeprefix('not leader: ')]}"
                timeline.appends.setdefault(way, []).append((self._ms(at), answer, took * 1000))
                written.setdefault(answer.partition(":")[0], [0, 0])
                written[answer.partition(":")[0]][0] += 1
                written[answer.partition(":")[0]][1] += data in stored
        timeline.written = {answer: (number, of_these) for answer, (number, of_these) in written.items()}
        for (node, what), told_to in self._calls.items():
            name = f"{part[str(node.number)]}: {what}"
            timeline.calls[name] = [(self._ms(at), words) for at, words in told_to]
        return timeline

    async def _stored(self, node: ClusterNode) -> set[bytes]:
        """The data of all events of the appends."""
        request = pb.ReadReqOptions(
            all=pb.ReadReqOptionsAllOptions(start=Empty()),
            count=2**63,
            no_filter=Empty(),
            uuid_option=pb.ReadReqOptionsUuidOption(string=Empty()),
        )
        line = Line(self._nursery, self._cluster, node)
        answers, end = await line.ask(STREAMS + "Read", bytes(pb.ReadReq(options=request)))
        assert end == "OK", end
        found = set()
        for answer in answers:
            read = pb.ReadResp.parse(answer).event
            if read is not None and read.event is not None:
                found.add(read.event.data)
        return found

    def _ms(self, at: float) -> float:
        return round((at - self._zero) * 1000)


def append_request(stream: str, data: bytes) -> tuple[bytes, bytes]:
    """An append that expects nothing of the stream."""
    identifier = StreamIdentifier(stream_name=stream.encode())
    event = pb.AppendReqProposedMessage(
        id=Uuid(string=str(uuid.uuid5(uuid.NAMESPACE_OID, data.decode()))),
        metadata={"type": "Happened", "content-type": "application/json"},
        data=data,
    )
    options = pb.AppendReqOptions(stream_identifier=identifier, any=Empty())
    return bytes(pb.AppendReq(options=options)), bytes(pb.AppendReq(proposed_message=event))


def subscribe_request(stream: str | None) -> bytes:
    """A subscription to a stream or to all events, from the start."""
    options = pb.ReadReqOptions(
        subscription=pb.ReadReqOptionsSubscriptionOptions(),
        no_filter=Empty(),
        uuid_option=pb.ReadReqOptionsUuidOption(string=Empty()),
    )
    if stream is None:
        options.all = pb.ReadReqOptionsAllOptions(start=Empty())
    else:
        identifier = StreamIdentifier(stream_name=stream.encode())
        options.stream = pb.ReadReqOptionsStreamOptions(stream_identifier=identifier, start=Empty())
    return bytes(pb.ReadReq(options=options))


def _state(member: gossip_pb.MemberInfo) -> str:
    return f"{member.state.name}{'' if member.is_alive else ' dead'}"


@asynccontextmanager
async def recording(cluster: EmbeddedCluster) -> AsyncIterator[Recorder]:
    """Record a cluster while the block is open."""
    async with trio.open_nursery() as nursery:
        yield Recorder(nursery, cluster)
        nursery.cancel_scope.cancel()
