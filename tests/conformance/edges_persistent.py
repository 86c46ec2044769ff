"""Scenarios of the corners of persistent subscriptions: parked events, pinned consumers, odd settings and requests."""

from __future__ import annotations

import time

from .driver import scenario
from .edges import drain, link, unsaid
from .persistent import PARK, RETRY, SETTINGS, P, ack, consume, create, drop, info, nack, replay, update, which
from .streams import MAX_REVISION, append, many, proposed, read, set_metadata, types


def parked_stream(t, group="g"):
    return f"$persistentsubscription-{t.stream()}::{group}-parked"


def some_info(t, group, stream, *keys):
    """GetInfo, of which only these fields are kept."""
    info(t, group, stream)
    for step in t.steps[-2:]:
        if step.get("got") == "message":
            step["body"] = {k: v for k, v in step["body"]["subscription_info"].items() if k in keys}


def wait_for(t, done):
    """Until done() holds, at most 5 s; what it asks is left out of the record."""
    for _ in range(50):
        mark, calls = len(t.steps), t._calls
        ok = done()
        del t.steps[mark:]
        t._calls = calls
        if ok:
            break
        time.sleep(0.1)
    time.sleep(0.1)


def wait_parked(t, number, group="g"):
    """Until the parked stream ends with this number."""

    def done():
        got = read(t, parked_stream(t, group), backwards=True, at="end", count=1)
        return (
            bool(got)
            and got[0].get("event", {}).get("event", {}).get("stream_revision", 0) == number
            and "event" in got[0]
        )

    wait_for(t, done)


def wait_info(t, group, stream, key, value):
    """Until GetInfo tells this value."""
    wait_for(
        t,
        lambda: any(
            m["subscription_info"].get(key) == value
            for m in t.ask(P + "GetInfo", {"options": {**which(stream), "group_name": group}})
        ),
    )


def park_all(t, n, **settings):
    """A group `g` with n parked events, and its consumer."""
    append(t, t.stream(), "no_stream", *many(t, n))
    create(t, "g", t.stream(), **settings)
    call = consume(t, "g", t.stream())
    got = call.recv(n + 1)
    for i, m in enumerate(got[1:]):
        nack(call, [m], PARK, "bad")
        wait_parked(t, i)
    return call


@scenario("persistent/replay-up-to")
def _(t):
    call = park_all(t, 3)
    read(t, parked_stream(t))
    some_info(t, "g", t.stream(), "parked_message_count", "status")
    replay(t, "g", t.stream(), stop_at=-1)
    replay(t, "g", t.stream(), stop_at=1)
    ack(call, call.recv(1))
    call.quiet(0.5)
    some_info(t, "g", t.stream(), "parked_message_count")
    read(t, "$$" + parked_stream(t))
    replay(t, "g", t.stream(), stop_at=1)  # that one is gone
    call.quiet(0.5)
    replay(t, "g", t.stream(), stop_at=100)
    ack(call, call.recv(2))
    call.quiet(0.5)
    some_info(t, "g", t.stream(), "parked_message_count")
    replay(t, "g", t.stream())
    call.quiet(0.3)
    call.cancel()


@scenario("persistent/replayed-and-refused-again")
def _(t):
    call = park_all(t, 1, max_retry_count=1)
    replay(t, "g", t.stream())
    nack(call, call.recv(1), RETRY)
    nack(call, call.recv(1), RETRY)
    wait_parked(t, 1)
    call.quiet(0.4)
    read(t, parked_stream(t))
    replay(t, "g", t.stream())
    nack(call, call.recv(1), PARK, "again")
    wait_parked(t, 2)
    read(t, parked_stream(t), links=True)
    some_info(t, "g", t.stream(), "parked_message_count")
    call.cancel()


@scenario("persistent/replay-of-what-is-gone")
def _(t):
    call = park_all(t, 2)
    set_metadata(t, t.stream(), "any", b'{"$tb":1}', "m")
    read(t, parked_stream(t), links=True)
    replay(t, "g", t.stream())
    ack(call, call.recv(1))
    drain(call)
    some_info(t, "g", t.stream(), "parked_message_count")
    call.cancel()


@scenario("persistent/parked-links")
def _(t):
    append(t, t.stream("a"), "no_stream", *many(t, 2))
    append(
        t,
        t.stream(),
        "no_stream",
        link(t, f"1@{t.stream('a')}", "l1"),
        link(t, f"9@{t.stream('a')}", "gone"),
        link(t, "nonsense", "bad"),
    )
    create(t, "g", t.stream(), resolve_links=True)
    call = consume(t, "g", t.stream())
    for i, m in enumerate(call.recv(4)[1:]):
        nack(call, [m], PARK, "bad")
        wait_parked(t, i)
    read(t, parked_stream(t))
    replay(t, "g", t.stream())
    drain(call)
    call.cancel()


@scenario("persistent/pinned-to-consumers")
def _(t):
    create(t, "pin", None, at="end", filter=types(t.stream("s"), by="stream_identifier"), consumer_strategy="Pinned")
    a = consume(t, "pin", buffer=30)
    a.recv(1)
    b = consume(t, "pin", buffer=30)
    b.recv(1)
    with unsaid(t, "two rounds of an event to each of s0 to s5"):
        for i in range(12):
            append(t, t.stream(f"s{i % 6}"), "any", proposed(t, i))
            time.sleep(0.05)
    drain(a)
    drain(b)
    b.cancel()
    drain(a)
    drop(t, "pin")
    a.recv_end()


@scenario("persistent/pinned-by-correlation")
def _(t):
    create(t, "g", t.stream(), consumer_strategy="PinnedByCorrelation")
    a = consume(t, "g", t.stream(), buffer=30)
    a.recv(1)
    b = consume(t, "g", t.stream(), buffer=30)
    b.recv(1)
    for i in range(10):
        meta = b'{"$correlationId":"c%d"}' % (i % 4) if i < 8 else b"" if i == 8 else b'{"$correlationId":7}'
        append(t, t.stream(), "any", proposed(t, i, meta=meta))
        time.sleep(0.05)
    drain(a)
    drain(b)
    some_info(t, "g", t.stream(), "named_consumer_strategy", "outstanding_messages_count")
    a.cancel()
    b.cancel()


@scenario("persistent/acked-by-another-consumer")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 2))
    create(t, "g", t.stream(), message_timeout_ms=300, max_retry_count=5)
    a = consume(t, "g", t.stream(), buffer=2)
    got = a.recv(3)
    t.say("confirmed as " + got[0]["subscription_confirmation"]["subscription_id"])
    b = consume(t, "g", t.stream(), buffer=2)
    b.recv(1)
    ack(b, got[1:])
    a.quiet(1.8)
    b.quiet(0.3)
    some_info(t, "g", t.stream(), "outstanding_messages_count", "total_in_flight_messages", "retry_buffer_count")
    a.cancel()
    b.cancel()


@scenario("persistent/one-id-twice-in-the-source")
def _(t):
    x = proposed(t, "x")
    append(t, t.stream(), "no_stream", x, proposed(t, "y"), x)
    create(t, "g", t.stream())
    call = consume(t, "g", t.stream())
    got = call.recv(4)
    some_info(t, "g", t.stream(), "outstanding_messages_count", "total_in_flight_messages")
    ack(call, got[1:2])
    time.sleep(0.2)
    some_info(t, "g", t.stream(), "outstanding_messages_count", "total_in_flight_messages")
    ack(call, got[2:3])
    wait_info(t, "g", t.stream(), "last_checkpointed_event_position", "2")
    some_info(
        t, "g", t.stream(), "outstanding_messages_count", "total_in_flight_messages", "last_checkpointed_event_position"
    )
    call.cancel()


@scenario("persistent/bad-later-message")
def _(t):
    for name, body in (
        ("empty", {}),
        ("options", None),
        ("no-id", {"ack": {"ids": [{}]}}),
        ("action", {"nack": {"ids": [], "action": 9}}),
    ):
        s = t.stream(name)
        append(t, s, "no_stream", *many(t, 1))
        create(t, "g", s)
        call = consume(t, "g", s)
        got = call.recv(2)
        call.send(
            body
            if body is not None
            else {"options": {**which(s), "group_name": "g", "buffer_size": 10, "uuid_option": {"string": {}}}}
        )
        time.sleep(0.15)
        ack(call, got)
        call.quiet(0.3)
        some_info(t, "g", s, "outstanding_messages_count")
        call.cancel()


@scenario("persistent/zero-settings")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 1))
    create(t, "g", t.stream(), message_timeout_ms=0, max_retry_count=0, checkpoint_after_ms=0, max_checkpoint_count=0)
    call = consume(t, "g", t.stream())
    call.recv(2)
    wait_parked(t, 0)
    call.quiet(0.3)
    read(t, parked_stream(t))
    some_info(
        t, "g", t.stream(), "message_timeout_milliseconds", "check_point_after_milliseconds", "parked_message_count"
    )
    create(t, "h", t.stream(), max_retry_count=0)
    other = consume(t, "h", t.stream())
    nack(other, other.recv(2), RETRY, "never again")
    wait_parked(t, 0, "h")
    read(t, parked_stream(t, "h"))
    other.cancel()
    call.cancel()
    drop(t, "g", t.stream())  # with max_checkpoint_count 0 it writes a checkpoint every second, for ever


@scenario("persistent/start-changed-by-update")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 4))
    create(t, "g", t.stream(), at=3)
    call = consume(t, "g", t.stream())
    call.recv(2)
    update(t, "g", t.stream(), at=1)
    call.recv_end()
    call = consume(t, "g", t.stream())
    ack(call, call.recv(4)[:2])
    wait_info(t, "g", t.stream(), "last_checkpointed_event_position", "1")
    some_info(t, "g", t.stream(), "start_from", "last_checkpointed_event_position", "named_consumer_strategy")
    update(t, "g", t.stream(), at="start", max_subscriber_count=1)
    call.recv_end()
    call = consume(t, "g", t.stream())
    call.recv(3)
    consume(t, "g", t.stream()).recv_end()
    some_info(t, "g", t.stream(), "start_from", "last_checkpointed_event_position", "max_subscriber_count")
    call.cancel()


@scenario("persistent/requests-with-holes")
def _(t):
    def made(**o):
        t.ask(P + "Create", {"options": {"group_name": "g", "settings": SETTINGS, **o}}, timeout=3)

    s = {"stream_identifier": {"stream_name": t.stream().encode()}}
    made(stream=s)
    made(stream={**s, "revision": 1 << 63})
    made(stream={**s, "revision": MAX_REVISION})
    some_info(t, "g", t.stream(), "start_from", "status")
    made(all={"no_filter": {}})
    made(all={"start": {}, "filter": {"count": {}}})
    made(all={"start": {}, "filter": {"event_type": {"regex": "("}, "count": {}}})
    made(all={"position": {"commit_position": 1, "prepare_position": 2}, "no_filter": {}})
    made(all={"position": {"commit_position": 1, "prepare_position": 0}, "no_filter": {}})
    drop(t, "g")
    t.ask(P + "GetInfo", {"options": {"group_name": "g"}}, timeout=3)
    t.ask(P + "Delete", {"options": {"group_name": "g"}}, timeout=3)
    t.ask(
        P + "ReplayParked",
        {"options": {"group_name": "g", "stream_identifier": {"stream_name": t.stream().encode()}}},
        timeout=3,
    )
    for uuid in ({}, {"uuid_option": {}}, {"uuid_option": {"structured": {}}}):
        call = t.open(P + "Read")
        call.send({"options": {**which(t.stream()), "group_name": "g", "buffer_size": 1, **uuid}})
        call.recv(1, patience=1.5)
        call.cancel()
