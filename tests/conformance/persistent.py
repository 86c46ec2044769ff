"""Scenarios of the PersistentSubscriptions service."""

from __future__ import annotations

from .driver import Talk, scenario
from .streams import BIN, append, many, proposed, read, tombstone, types

P = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/"
SETTINGS = {
    "max_retry_count": 2,
    "min_checkpoint_count": 1,
    "max_checkpoint_count": 1,
    "max_subscriber_count": 0,
    "live_buffer_size": 50,
    "read_batch_size": 10,
    "history_buffer_size": 20,
    "message_timeout_ms": 30_000,
    "checkpoint_after_ms": 100,
    "consumer_strategy": "RoundRobin",
}


def source(stream, at, filter=None):
    if stream is None:
        where = (
            {"position": {"commit_position": at[0], "prepare_position": at[1]}} if isinstance(at, tuple) else {at: {}}
        )
        return {"all": {**where, **({"filter": filter} if filter else {"no_filter": {}})}}
    where = {"revision": at} if isinstance(at, int) else {at: {}}
    return {"stream": {"stream_identifier": {"stream_name": stream.encode()}, **where}}


def create(t: Talk, group, stream=None, at="start", filter=None, **settings):
    o = {**source(stream, at, filter), "group_name": group, "settings": {**SETTINGS, **settings}}
    if stream is not None:
        o["stream_identifier"] = {"stream_name": stream.encode()}
    return t.ask(P + "Create", {"options": o})


def update(t: Talk, group, stream=None, at="start", **settings):
    src = source(stream, at)
    if stream is None:
        src["all"].pop("no_filter")
    same = {k: v for k, v in SETTINGS.items() if k != "consumer_strategy"}  # cannot be updated
    o = {**src, "group_name": group, "settings": {**same, **settings}}
    if stream is not None:
        o["stream_identifier"] = {"stream_name": stream.encode()}
    return t.ask(P + "Update", {"options": o})


def which(stream):
    return {"all": {}} if stream is None else {"stream_identifier": {"stream_name": stream.encode()}}


def drop(t, group, stream=None):
    return t.ask(P + "Delete", {"options": {**which(stream), "group_name": group}})


def info(t, group, stream=None):
    return t.ask(P + "GetInfo", {"options": {**which(stream), "group_name": group}})


def replay(t, group, stream=None, stop_at=None):
    limit = {"no_limit": {}} if stop_at is None else {"stop_at": stop_at}
    return t.ask(P + "ReplayParked", {"options": {**which(stream), "group_name": group, **limit}})


def consume(t: Talk, group, stream=None, buffer=10):
    call = t.open(P + "Read")
    call.send({"options": {**which(stream), "group_name": group, "buffer_size": buffer, "uuid_option": {"string": {}}}})
    return call


def ids(messages):
    out = []
    for m in messages:
        e = m.get("event") or {}
        rec = e.get("link") or e.get("event")
        if rec:
            out.append(rec["id"])
    return out


def ack(call, messages):
    call.send({"ack": {"ids": ids(messages)}})


def nack(call, messages, action, reason="because"):
    call.send({"nack": {"ids": ids(messages), "action": action, "reason": reason}})


PARK, RETRY, SKIP, STOP = 1, 2, 3, 4


@scenario("persistent/stream-consume-and-ack")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 4))
    create(t, "g", t.stream())
    call = consume(t, "g", t.stream())
    got = call.recv(5)
    ack(call, got)
    append(t, t.stream(), 3, *many(t, 2, start=4))
    got = call.recv(2)
    ack(call, got)
    call.quiet()
    call.half_close()
    call.quiet()
    call.cancel()


@scenario("persistent/stream-starts")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 3))
    for at in ("start", 1, 2, 3, "end"):
        create(t, f"g-{at}", t.stream(), at=at)
        call = consume(t, f"g-{at}", t.stream())
        call.recv(1)
        call.recv(3, patience=1.5)
        call.cancel()
    call = consume(t, "g-end", t.stream())
    append(t, t.stream(), 2, *many(t, 1, start=3))
    call.recv(2)
    call.cancel()


@scenario("persistent/create-errors")
def _(t):
    create(t, "g", t.stream())
    create(t, "g", t.stream())
    create(t, "", t.stream())
    create(t, "z", t.stream(), consumer_strategy="NoSuchStrategy")
    create(t, "b1", t.stream(), read_batch_size=30)
    create(t, "b2", t.stream(), max_checkpoint_count=1, min_checkpoint_count=5)
    create(t, "b3", t.stream(), live_buffer_size=0)
    create(t, "b4", t.stream(), message_timeout_ms=-5)
    create(t, "b5", t.stream(), checkpoint_after_ms=-5)
    create(t, "b6", t.stream(), max_retry_count=-3)
    create(t, "b7", "$all")
    t.ask(P + "Create", {"options": {"group_name": "n", "settings": SETTINGS}})
    t.ask(P + "Create", {"options": {**source(t.stream(), "start"), "group_name": "nosettings"}})


@scenario("persistent/missing-group")
def _(t):
    call = consume(t, "nope", t.stream())
    call.recv_end()
    drop(t, "nope", t.stream())
    update(t, "nope", t.stream())
    info(t, "nope", t.stream())
    replay(t, "nope", t.stream())
    call = consume(t, "nope")
    call.recv_end()
    drop(t, "nope")
    update(t, "nope")
    info(t, "nope")
    replay(t, "nope")


@scenario("persistent/max-subscribers")
def _(t):
    create(t, "g", t.stream(), max_subscriber_count=1)
    one = consume(t, "g", t.stream())
    one.recv(1)
    two = consume(t, "g", t.stream())
    two.recv_end()
    one.cancel()


@scenario("persistent/deleted-while-consuming")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 1))
    create(t, "g", t.stream())
    call = consume(t, "g", t.stream())
    call.recv(2)
    drop(t, "g", t.stream())
    call.recv_end()
    call = consume(t, "g", t.stream())
    call.recv_end()


@scenario("persistent/nack-park-and-replay")
def _(t):
    import time

    append(t, t.stream(), "no_stream", *many(t, 3))
    create(t, "g", t.stream())
    call = consume(t, "g", t.stream())
    got = call.recv(4)
    nack(call, got[1:2], PARK, "bad one")
    nack(call, got[2:3], PARK, "bad two")
    ack(call, got[3:])
    time.sleep(1)
    read(t, f"$persistentsubscription-{t.stream()}::g-parked")
    read(t, f"$persistentsubscription-{t.stream()}::g-parked", links=True)
    replay(t, "g", t.stream())
    got = call.recv(2)
    ack(call, got)
    call.quiet()
    call.cancel()


@scenario("persistent/nack-retry-until-parked")
def _(t):
    import time

    append(t, t.stream(), "no_stream", *many(t, 1))
    create(t, "g", t.stream(), max_retry_count=2)
    call = consume(t, "g", t.stream())
    call.recv(1)
    for _ in range(4):
        got = call.recv(1, patience=3)
        if not got:
            break
        nack(call, got, RETRY)
    time.sleep(0.5)
    read(t, f"$persistentsubscription-{t.stream()}::g-parked")
    call.cancel()


@scenario("persistent/ack-of-unknown-id")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 2))
    create(t, "g", t.stream())
    call = consume(t, "g", t.stream())
    got = call.recv(3)
    call.send({"ack": {"ids": [t.uid_msg("never seen")]}})
    call.send({"ack": {"ids": []}})
    call.quiet()
    ack(call, got)
    call.quiet()
    call.cancel()


@scenario("persistent/message-timeout-retries")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 1))
    create(t, "g", t.stream(), message_timeout_ms=500, max_retry_count=1)
    call = consume(t, "g", t.stream())
    call.recv(1)
    call.recv(1)
    call.recv(1, patience=6)
    call.recv(1, patience=4)
    read(t, f"$persistentsubscription-{t.stream()}::g-parked")
    call.cancel()


@scenario("persistent/buffer-size-limits-in-flight")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 6))
    create(t, "g", t.stream())
    call = consume(t, "g", t.stream(), buffer=2)
    got = call.recv(3)
    call.quiet()
    ack(call, got[:2])
    call.recv(1)
    call.quiet()
    call.cancel()


@scenario("persistent/two-consumers-round-robin")
def _(t):
    import time

    create(t, "g", t.stream(), consumer_strategy="RoundRobin")
    a, b = consume(t, "g", t.stream()), None
    a.recv(1)
    b = consume(t, "g", t.stream())
    b.recv(1)
    for i in range(4):
        append(t, t.stream(), "any", proposed(t, i))
        time.sleep(0.3)
    a.recv(2)
    b.recv(2)
    a.cancel()
    b.cancel()


@scenario("persistent/consumer-gone-events-go-on")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 2))
    create(t, "g", t.stream())
    a = consume(t, "g", t.stream())
    a.recv(3)
    b = consume(t, "g", t.stream())
    b.recv(1)
    a.cancel()
    b.recv(2, patience=4)
    b.cancel()


@scenario("persistent/resolve-links")
def _(t):
    append(t, t.stream("a"), "no_stream", *many(t, 2))

    def link(n, key, name="a"):
        return proposed(t, key, type="$>", data=f"{n}@{t.stream(name)}".encode(), content=BIN)

    append(t, t.stream("l"), "no_stream", link(1, "l1"), link(9, "gone"), proposed(t, "plain"))
    create(t, "g", t.stream("l"), resolve_links=True)
    call = consume(t, "g", t.stream("l"))
    got = call.recv(4)
    ack(call, got)
    call.quiet()
    call.cancel()
    create(t, "h", t.stream("l"))
    call = consume(t, "h", t.stream("l"))
    call.recv(4)
    call.cancel()


@scenario("persistent/all-with-filter")
def _(t):
    tag = "PsAllF"
    append(t, t.stream("a"), "no_stream", *many(t, 2, type=tag + "Mine"))
    append(t, t.stream("a"), 1, *many(t, 2, start=2, type="Not" + tag))
    create(t, "g-all-f", filter=types(tag, window=32, interval=1))
    call = consume(t, "g-all-f")
    got = call.recv(3)
    ack(call, got)
    append(t, t.stream("a"), "any", *many(t, 1, start=4, type=tag + "Mine"))
    got = call.recv(1)
    ack(call, got)
    call.quiet()
    call.cancel()
    drop(t, "g-all-f")


@scenario("persistent/info")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 2))
    create(t, "g", t.stream(), extra_statistics=True)
    info(t, "g", t.stream())
    call = consume(t, "g", t.stream())
    got = call.recv(3)
    info(t, "g", t.stream())
    ack(call, got)
    call.cancel()


@scenario("persistent/tombstoned-stream")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 1))
    tombstone(t, t.stream(), "any")
    create(t, "g", t.stream())
    call = consume(t, "g", t.stream())
    call.recv(1)
    call.recv_end(patience=3)
    call.cancel()


@scenario("persistent/read-bad-first-message")
def _(t):
    call = t.open(P + "Read")
    call.send({"ack": {"ids": [t.uid_msg("x")]}})
    call.recv_end(patience=3)
    call = t.open(P + "Read")
    call.send({})
    call.recv_end(patience=3)
    call = t.open(P + "Read")
    call.half_close()
    call.recv_end(patience=3)
    create(t, "g", t.stream())
    for buffer in (0, -1):
        call = consume(t, "g", t.stream(), buffer=buffer)
        call.recv(1, patience=2)
        call.cancel()
