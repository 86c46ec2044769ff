"""Our two ends in conversation: wherever the bytes between them are cut, the same is said and understood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import http2
from tests.support.http2 import check_windows, story
from trio_esdb._wire import (
    CallEnded,
    CallReceived,
    CallReset,
    ClientConnection,
    ConnectionEnded,
    Event,
    Limits,
    MessagesReceived,
    Outcome,
    RequestsEnded,
    Status,
    Stream,
)
from trio_esdb._wire._server_connection import ServerConnection

NARROW = Limits(receive_message=200_000, stream_window=3000, connection_window=http2.DEFAULT_WINDOW)


@dataclass(frozen=True)
class Plan:
    """A call: what the client asks, and what the server does after how many requests (-1: after the last)."""

    requests: list[int]
    half_close: bool
    answers: dict[int, list[int]]
    finish: int
    status: Status
    text: str
    trailers: dict[str, str | bytes]
    give_up_after: int | None

    def headers(self, number: int) -> tuple[tuple[str, str], ...]:
        return (*http2.REQUEST, ("number", str(number)))


sizes = st.one_of(st.integers(0, 50), st.integers(0, 6000))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    requests = draw(st.lists(sizes, max_size=4))
    half_close = draw(st.sampled_from([True, True, False]))
    places = [*range(len(requests) + 1), *([-1] if half_close else [])]
    finish = draw(st.sampled_from(places))
    answers = draw(st.dictionaries(st.sampled_from(places), st.lists(sizes, max_size=4), max_size=2))
    trailers: dict[str, str | bytes] = draw(
        st.sampled_from([{}, {"reason": "x"}, {"id-bin": b"\0\xff"}, {"long": "y" * 20_000}])
    )
    give_up_after = draw(st.sampled_from([None, None, None, 0, 1]))
    text = draw(st.sampled_from(["", "why\u20ac"]))
    return Plan(
        requests, half_close, answers, finish, draw(st.sampled_from(list(Status))), text, trailers, give_up_after
    )


@dataclass
class Conversation:
    """Both ends and the bytes on their way; ``story`` of a call is what its two owners saw."""

    plans: list[Plan]
    limits: Limits
    to_server: bytes = b""
    to_client: bytes = b""
    asked: dict[int, list[object]] = field(default_factory=dict)
    answered: dict[int, list[object]] = field(default_factory=dict)
    recorded: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))

    def __post_init__(self) -> None:
        self.client = ClientConnection(self.limits)
        self.server = ServerConnection(
            Limits(self.limits.receive_message, http2.DEFAULT_WINDOW, http2.DEFAULT_WINDOW, concurrent_streams=50)
        )
        self.streams: list[Stream] = []
        self.served: dict[int, Stream] = {}
        self.over: set[int] = set()

    def start(self) -> None:
        for number, plan in enumerate(self.plans):
            stream = self.client.start_call(plan.headers(number), "5S", number)
            self.streams.append(stream)
            self.asked[number] = []
            self.client.send_messages(stream, [bytes([65 + number]) * n for n in plan.requests], end=plan.half_close)
        self.collect()

    def collect(self) -> None:
        for core, recorded in zip((self.client, self.server), self.recorded, strict=True):
            raw = core.data_to_send()
            recorded += raw
            if core is self.client:
                self.to_server += raw
            else:
                self.to_client += raw
        check_windows(self.client, self.streams)
        check_windows(self.server, self.served.values())

    def deliver(self, *, forth: bool, size: int) -> None:
        if forth:
            raw, self.to_server = self.to_server[:size], self.to_server[size:]
            self.serve(self.server.receive_data(raw))
        else:
            raw, self.to_client = self.to_client[:size], self.to_client[size:]
            self.hear(self.client.receive_data(raw))
        self.collect()

    def serve(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case CallReceived(stream, path, metadata, timeout):
                    number = int(str(metadata["number"]))
                    stream.owner = number
                    self.served[number] = stream
                    self.answered[number] = [(path, timeout)]
                    self.react(stream, number, 0)
                case MessagesReceived(stream, messages):
                    number = stream.owner
                    for message in messages:
                        self.server.take(stream, len(message) + 5)
                        if number not in self.over:
                            self.answered[number].append(message)
                            self.react(stream, number, len(self.answered[number]) - 1)
                case RequestsEnded(stream):
                    number = stream.owner
                    if number not in self.over:
                        self.answered[number].append("requests ended")
                        self.react(stream, number, -1)
                case CallReset(stream, _):
                    self.over.add(stream.owner)
                case ConnectionEnded():
                    raise AssertionError(event)

    def react(self, stream: Stream, number: int, count: int) -> None:
        plan = self.plans[number]
        if count in plan.answers:
            self.server.respond(stream, [bytes([97 + number]) * n for n in plan.answers[count]])
        if count == plan.finish:
            self.over.add(number)
            self.server.finish(stream, plan.status, plan.text, plan.trailers)

    def hear(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case MessagesReceived(stream, messages):
                    for message in messages:
                        self.client.take(stream, len(message) + 5)
                        self.asked[stream.owner].append(message)
                        self.give_up(stream)
                case CallEnded(stream, outcome):
                    self.asked[stream.owner].append(outcome)
                case ConnectionEnded():
                    raise AssertionError(event)

    def give_up(self, stream: Stream) -> None:
        plan = self.plans[stream.owner]
        if plan.give_up_after is not None and len(self.asked[stream.owner]) > plan.give_up_after:
            self.client.reset(stream)

    def run(self, choose: Callable[[int, int], tuple[bool, int]]) -> None:
        """Until nothing is on its way any more; ``choose`` says which direction goes on, and by how many bytes."""
        self.start()
        while self.to_server or self.to_client:
            forth, size = choose(len(self.to_server), len(self.to_client))
            self.deliver(forth=forth, size=size)


def at_once(forth: int, back: int) -> tuple[bool, int]:
    return (True, forth) if forth else (False, back)


def seen(conversation: Conversation) -> tuple[dict[int, list[object]], dict[int, list[object]]]:
    """What the owners of the calls saw, as far as it does not depend on who was first."""
    asked, answered = {}, {}
    for number, plan in enumerate(conversation.plans):
        if plan.give_up_after is None:
            asked[number] = conversation.asked[number]
            answered[number] = conversation.answered[number]
        else:
            asked[number] = conversation.asked[number][: plan.give_up_after + 1]
    return asked, answered


def expected(number: int, plan: Plan) -> tuple[list[object], list[object]]:
    """What a call's two owners should see, by the plan alone."""
    asked: list[object] = []
    answered: list[object] = [("/shop.Orders/Place", 5.0)]
    for count in [*range(len(plan.requests) + 1), *([-1] if plan.half_close else [])]:
        if count == -1:
            answered.append("requests ended")
        elif count:
            answered.append(bytes([65 + number]) * plan.requests[count - 1])
        asked += [bytes([97 + number]) * size for size in plan.answers.get(count, [])]
        if count == plan.finish:
            break
    return [*asked, Outcome(plan.status, plan.text, plan.trailers)], answered


@given(st.lists(plans(), min_size=1, max_size=4), st.data())
@settings(max_examples=40)
def test_a_conversation_cut_anywhere_comes_to_the_same(calls: list[Plan], source: st.DataObject) -> None:
    whole = Conversation(calls, NARROW)
    whole.run(at_once)
    random = source.draw(st.randoms(use_true_random=False))
    steps = source.draw(st.sampled_from([(1, 9), (1, 200), (500, 20_000)]))

    def choose(forth: int, back: int) -> tuple[bool, int]:
        direction = bool(forth) and (not back or random.random() < 0.5)
        return direction, random.randint(*steps)

    cut = Conversation(calls, NARROW)
    cut.run(choose)
    assert seen(cut) == seen(whole)
    for number, plan in enumerate(calls):
        if plan.give_up_after is None:
            assert (whole.asked[number], whole.answered[number]) == expected(number, plan)
    for conversation in (whole, cut):
        assert not conversation.client.streams
        assert not conversation.server.streams


@given(st.lists(plans(), min_size=1, max_size=4), st.data())
@settings(max_examples=40)
def test_the_same_bytes_cut_anywhere_give_the_same_events(calls: list[Plan], source: st.DataObject) -> None:
    """Each end alone, fed with what the other once said."""
    record = Conversation(calls, Limits())
    record.run(at_once)
    to_server, to_client = map(bytes, record.recorded)

    def client() -> ClientConnection:
        core = ClientConnection()
        for number, plan in enumerate(calls):
            core.start_call(plan.headers(number), "5S", number)
        return core

    for make, raw in ((ServerConnection, to_server), (client, to_client)):
        reference = story(make().receive_data(raw))
        places = sorted(source.draw(st.lists(st.integers(0, len(raw)), max_size=40)))
        core = make()
        events = [
            event
            for start, stop in zip([0, *places], [*places, len(raw)], strict=True)
            for event in core.receive_data(raw[start:stop])
        ]
        assert story(events) == reference


def test_byte_by_byte() -> None:
    plan = Plan([0, 10], True, {1: [3], -1: [0, 100]}, -1, Status.OK, "", {"x": "y"}, None)
    whole, cut = Conversation([plan, plan], NARROW), Conversation([plan, plan], NARROW)
    whole.run(at_once)
    cut.run(lambda forth, back: (bool(forth), 1))
    assert seen(cut) == seen(whole)
    assert whole.asked[0][-1] == Outcome(Status.OK, "", {"x": "y"})
