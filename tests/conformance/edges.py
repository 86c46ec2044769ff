"""Scenarios of the corners: idempotency, deleted streams, metadata, limits, slow subscribers, checkpoints, batches.

They need an insecure node that runs no projections.

Left out, because a real node (24.10.4, 23.10.6) never answers them:
- Append with `any` or `stream_exists` of ids the stream knows, the last numbered more than one below the first
  (e[3], e[0]);
- Read of $all with count 0, and a filtered Read of $all with window max = 0;
- any call of Users on an insecure node.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import grpc

from .driver import Call, Talk, scenario
from .persistent import consume, create
from .streams import (
    BIN,
    MAX_REVISION,
    S,
    append,
    batch,
    delete,
    live,
    many,
    position,
    proposed,
    read,
    read_req,
    set_metadata,
    subscribe,
    tombstone,
    types,
)

MAX_NUMBER = (1 << 63) - 1
MIB = 1 << 20


# -- helpers -----------------------------------------------------------------
@contextmanager
def unsaid(t: Talk, text: str):
    """Keep these steps out of the record; say this instead."""
    mark = len(t.steps)
    yield
    del t.steps[mark:]
    t.say(text)


def drain(call, patience=0.7):
    """Everything that comes until it is quiet for a while."""
    return call.recv_until(lambda m: False, patience=patience)


def link(t, to, key):
    return proposed(t, key, type="$>", data=to.encode(), content=BIN)


def wait_still(t):
    """Until nobody has written to the log for 1.2 s: groups of earlier scenarios may still write their checkpoints."""
    ends = []
    for _ in range(6):
        mark, calls = len(t.steps), t._calls
        ends.append([m["event"].get("commit_position") for m in read(t, at="end", backwards=True, count=1)])
        del t.steps[mark:]
        t._calls = calls
        if len(ends) > 1 and ends[-1] == ends[-2]:
            break
        time.sleep(1.2)


class SlowCall(Call):
    """A call whose answers are read only while the gate is open."""

    def __init__(self, *args):
        self.gate = threading.Event()
        self.gate.set()
        super().__init__(*args)

    def _read(self):
        try:
            answers = iter(self._rpc)
            while True:
                self.gate.wait()
                self._answers.put(("message", next(answers)))
        except (StopIteration, grpc.RpcError):
            pass
        self._answers.put(("end", None))


def slow_subscribe(t, stream=None, **kw):
    t._calls += 1
    t.note({"do": "start", "call": f"c{t._calls}", "rpc": S + "Read", "metadata": {}})
    call = SlowCall(t, f"c{t._calls}", S + "Read", t.metadata, 60)
    call.send(read_req(stream, subscribe=True, **kw)).half_close()
    return call


def flood(t, stream, n, size=60_000, type="Happened"):
    """Append n events of this size, far more than the windows and buffers between node and client hold."""
    with unsaid(t, f"{n} events of {size} bytes appended to {stream}"):
        for i in range(0, n, 16):
            append(
                t,
                stream,
                "any",
                *(
                    proposed(t, f"flood-{i + k}", data=b"x" * size, content=BIN, type=type)
                    for k in range(min(16, n - i))
                ),
            )


def after_the_flood(t, call, last, patience=8.0):
    """Read on until the subscription says caught_up (again) or ends; note what came in short."""
    mark = len(t.steps)
    got = call.recv_until(live, patience)
    seen = [m["event"]["event"].get("stream_revision", 0) for m in got if "event" in m]
    order = [k for m in got for k in m if k != "event"]
    ended, alone = call.ended, [s for s in t.steps[mark:] if s.get("got") == "silence"]
    del t.steps[mark:]
    if ended is None:
        t.say(
            f"events {seen[0]} to {seen[-1]}, each once and in order: {seen == list(range(seen[0], seen[-1] + 1))}; "
            f"all: {seen[-1] == last}; other messages: {order}; then {'silence' if alone else 'caught up'}"
        )
    else:
        t.say(f"some events came, in order: {bool(seen) and seen == list(range(seen[0], seen[0] + len(seen)))}")
        t.note(ended)


def places(t, *streams):
    """Positions of the events of these streams, by name and number; read without a word in the record."""
    out = []
    for s in streams:
        mark = len(t.steps)
        for m in read(t, s):
            if "event" in m:
                e = m["event"]["event"]
                out.append((e["commit_position"], f"{s.rpartition('-')[2]}{e.get('stream_revision', 0)}"))
        del t.steps[mark:]
    return sorted(out)


def name_checkpoints(t, mark, at):
    """Say of each checkpoint since mark which event is the last one below it, instead of its raw position."""
    for step in t.steps[mark:]:
        c = step.get("body", {}).get("checkpoint") if step.get("got") == "message" else None
        if c is not None:
            commit, prepare = c.get("commit_position", 0), c.get("prepare_position", 0)
            below = [name for p, name in at if p < commit]
            own = [name for p, name in at if p == commit == prepare]
            where = (
                "U64MAX"
                if commit == MAX_REVISION
                else "zero"
                if commit == 0
                else f"the position of {own[0]}"
                if own
                else f"past {below[-1]}"
                if below
                else "before all"
            )
            how = "prepare 0" if prepare == 0 else "prepare the same" if prepare == commit else "prepare differs"
            step["body"] = {"checkpoint": f"{where}, {how}"}


# -- appending ---------------------------------------------------------------
@scenario("append/known-ids-swapped-and-followed-by-new")
def _(t):
    e = many(t, 6)
    append(t, t.stream(), "no_stream", *e[:4])
    append(t, t.stream(), "any", e[1], e[0])  # adjacent ones swapped are answered
    append(t, t.stream(), "stream_exists", e[3], e[2])
    append(t, t.stream(), "any", e[2], e[3], e[2])
    append(t, t.stream(), "any", e[0], e[3])
    append(t, t.stream(), "any", e[0], e[4])  # known, then new
    append(t, t.stream(), "stream_exists", e[3], e[4])
    append(t, t.stream(), "any", e[5], e[0])  # new, then known
    append(t, t.stream(), "any", e[0])  # now written twice: which number is told?
    read(t, t.stream())


@scenario("append/one-id-twice-in-a-write")
def _(t):
    x = proposed(t, "x")
    append(t, t.stream(), "no_stream", x, x)
    append(t, t.stream(), "no_stream", x, x)
    append(t, t.stream(), "no_stream", x)
    append(t, t.stream(), "no_stream", x, x, x)
    append(t, t.stream(), "any", x)
    append(t, t.stream(), "any", x, x, x)
    append(t, t.stream(), 0, x)
    append(t, t.stream(), 1, x)
    read(t, t.stream())


@scenario("append/old-ids-on-a-soft-deleted-stream")
def _(t):
    e = many(t, 4)
    append(t, t.stream(), "no_stream", *e[:3])
    delete(t, t.stream(), 2)
    append(t, t.stream(), "any", *e[:3])
    append(t, t.stream(), "any", e[2])
    append(t, t.stream(), "no_stream", e[0])
    append(t, t.stream(), "no_stream", *e[:3])
    append(t, t.stream(), "no_stream", e[0], e[3])
    append(t, t.stream(), "stream_exists", e[0])
    append(t, t.stream(), 0, e[1])
    append(t, t.stream(), 0, e[3])
    append(t, t.stream(), 1, e[3])
    read(t, t.stream())
    append(t, t.stream(), "no_stream", e[1])
    read(t, t.stream())


@scenario("append/nothing-to-a-soft-deleted-stream")
def _(t):
    for expect in ("any", "no_stream", "stream_exists", 1, 0):
        s = t.stream(str(expect))
        append(t, s, "no_stream", *many(t, 2))
        delete(t, s, "any")
        append(t, s, expect)
        read(t, s)
        read(t, "$$" + s)


@scenario("append/exact-size-limit")
def _(t):
    def one(key, size, meta=b"", type="TT"):
        append(t, t.stream(), "any", proposed(t, key, type=type, data=b"x" * size, meta=meta, content=BIN))

    one("a", MIB - 4)  # 24.10.4 counts two bytes for each character of the type
    one("b", MIB - 3)
    one("c", MIB + 1)
    one("d", MIB - 14, b"m" * 10)
    one("e", MIB - 13, b"m" * 10)
    one("f", 0, b"m" * (MIB - 4))
    one("g", 0, b"m" * (MIB - 3))
    one("h", MIB - 4, type="ü✓")
    append(t, t.stream(), "any", *(proposed(t, i, type="T", data=b"x" * (MIB // 4 - 2), content=BIN) for i in range(4)))
    append(
        t, t.stream(), "any", *(proposed(t, 9 + i, type="T", data=b"x" * (MIB // 4 - 1), content=BIN) for i in range(4))
    )
    read(t, t.stream(), backwards=True, at="end", count=2)


@scenario("append/errors-of-names-beyond-ascii")
def _(t):
    for s in (t.stream("ünï"), t.stream("two\nlines"), t.stream("100%")):
        append(t, s, 7, proposed(t, s))
        delete(t, s, 3)
        tombstone(t, s, "any")
        append(t, s, "any", proposed(t, s))
        read(t, s)


# -- reading -----------------------------------------------------------------
@scenario("read/without-uuid-option")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 2))
    for req in (
        read_req(t.stream("none"), uuid=None),
        read_req(t.stream(), at=5, uuid=None),
        read_req(t.stream(), uuid=None),
        read_req(at="end", backwards=True, count=1, uuid=None),
        read_req(t.stream(), subscribe=True, uuid=None),
    ):
        call = t.open(S + "Read")
        call.send(req).half_close()
        call.recv_end(patience=0.8)  # 23.10 answers the first two and is silent to the others
        call.cancel()


@scenario("read/first-and-last-stream-position")
def _(t):
    with unsaid(t, "40 events appended"):
        append(t, t.stream(), "no_stream", *many(t, 40))
    for at, count in ((40, None), (39, None), (41, None), (1000, 3)):
        read(t, t.stream(), at=at, count=count, control=1)
    set_metadata(t, t.stream(), "any", b'{"$tb":38}', "m1")
    for at, count in ((0, 1), (0, None), (10, None), (37, 1), (38, 1)):  # at 10 the first page of 32 holds 38 and 39
        read(t, t.stream(), at=at, count=count, control=1)
    read(t, t.stream(), backwards=True, at=37, control=1)
    read(t, t.stream(), backwards=True, at="end", control=1)
    set_metadata(t, t.stream(), "any", b'{"$tb":60}', "m2")
    read(t, t.stream(), control=1)
    read(t, t.stream(), at=39, control=1)
    read(t, t.stream(), backwards=True, at="end", control=1)
    set_metadata(t, t.stream(), "any", b'{"$maxCount":1}', "m3")
    read(t, t.stream(), at=0, count=2, control=1)


@scenario("read/links-to-hidden-events")
def _(t):
    for s in ("count", "tb", "deleted", "gone"):
        append(t, t.stream(s), "no_stream", *many(t, 3))
    append(
        t,
        t.stream("l"),
        "no_stream",
        *(link(t, f"{n}@{t.stream(s)}", f"{n}{s}") for s in ("count", "tb", "deleted", "gone") for n in (0, 2)),
    )
    set_metadata(t, t.stream("count"), "any", b'{"$maxCount":1}', "m1")
    set_metadata(t, t.stream("tb"), "any", b'{"$tb":1}', "m2")
    delete(t, t.stream("deleted"), "any")
    tombstone(t, t.stream("gone"), "any")
    read(t, t.stream("l"), links=True)
    read(t, links=True, filter=types(t.stream("l"), by="stream_identifier"), count=2)
    append(
        t,
        t.stream("l2"),
        "no_stream",
        link(t, f"0@{t.stream('l')}", "to a link"),
        link(t, f"0@$${t.stream('tb')}", "meta"),
        link(t, f"{MAX_NUMBER}@{t.stream('gone')}", "to the tombstone"),
    )
    read(t, t.stream("l2"), links=True)


# -- metadata ----------------------------------------------------------------
@scenario("metadata/only-metadata")
def _(t):
    def fresh(name):
        set_metadata(t, t.stream(name), "no_stream", b'{"a":1}', name)
        return t.stream(name)

    s = fresh("s")
    read(t, s)
    read(t, s, backwards=True, at="end", control=1)
    sub = subscribe(t, s)
    sub.recv(1)
    sub.recv(1, patience=1)
    append(t, s, 0, proposed(t, "r0"))
    append(t, s, "stream_exists", proposed(t, "exists"))
    sub.recv(1)
    sub.cancel()
    read(t, s)
    append(t, fresh("n"), "no_stream", proposed(t, "none"))
    append(t, fresh("empty"), "stream_exists")
    for name, expect in (("d1", "any"), ("d2", "no_stream"), ("d3", "stream_exists"), ("d4", 0)):
        s = fresh(name)
        delete(t, s, expect)
        read(t, "$$" + s)
        read(t, s)
    append(t, t.stream("d1"), "any", proposed(t, "again"))
    read(t, t.stream("d1"))
    for name, expect in (("t1", "any"), ("t2", "no_stream"), ("t3", "stream_exists"), ("t4", 0)):
        tombstone(t, fresh(name), expect)


@scenario("metadata/max-age-expires")
def _(t):
    tag = "MetaAge"
    marker = append(t, t.stream("m"), "no_stream", proposed(t, "marker"))
    append(t, t.stream(), "no_stream", *many(t, 2, type=tag))
    append(t, t.stream("l"), "no_stream", link(t, f"0@{t.stream()}", "l"))
    set_metadata(t, t.stream(), "any", b'{"$maxAge":1}', "m")
    time.sleep(2.1)
    read(t, t.stream())
    read(t, t.stream(), control=1)
    read(t, t.stream(), backwards=True, at="end", control=1)
    read(t, t.stream("l"), links=True)
    read(t, filter=types(tag))
    append(t, t.stream(), 1, *many(t, 1, start=2, type=tag))
    sub = subscribe(t, t.stream())
    sub.recv_until(live)
    sub.cancel()
    sub = subscribe(t, filter=types(tag), at=position(marker))
    sub.recv(4)
    sub.cancel()


@scenario("metadata/max-count-elsewhere")
def _(t):
    tag = "MetaCnt"
    append(t, t.stream(), "no_stream", *many(t, 4, type=tag))
    set_metadata(t, t.stream(), "any", b'{"$maxCount":2}', "m")
    read(t, filter=types(tag))
    sub = subscribe(t, t.stream())
    sub.recv_until(live)
    append(t, t.stream(), 3, *many(t, 4, start=4, type=tag))
    sub.recv(4)
    sub.cancel()
    sub = subscribe(t, t.stream(), at=2)
    sub.recv_until(live)
    sub.cancel()
    create(t, "g", t.stream(), at=1)
    call = consume(t, "g", t.stream())
    call.recv(3)
    call.quiet(0.4)
    call.cancel()


@scenario("metadata/odd-values")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 3))
    for i, body in enumerate(
        (
            b'{"$maxCount":1}',
            b'{"$maxCount":1.0}',
            b'{"$maxCount":"1"}',
            b'{"$maxCount":0}',
            b'{"$maxCount":-1}',
            b'{"$tb":-1}',
            b'{"$tb":1,"$maxCount":2.5}',
            b'{"$maxAge":-1,"$maxCount":1}',
            b'{"$maxCount":1,"$acl":{"$x":"y"}}',
            b'{"$maxCount":1,"$acl":{"$r":"a"}}',
            b'{"$maxCount":1,"$acl":null}',
            b'{"$maxCount":3,"$maxCount":1}',
            b'{"$maxCount":null}',
            b"[]",
            b"",
            b'{"$maxCount":1',
            b'{"$MaxCount":1}',
            b'{"$maxCount":1}}',
        )
    ):
        with unsaid(t, f"metadata {body.decode()}"):
            set_metadata(t, t.stream(), "any", body, f"m{i}")
        read(t, t.stream(), count=1)


# -- deleting ----------------------------------------------------------------
@scenario("delete/what-is-deleted-already")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 3))
    for expect in ("any", "any", 2, 0, 5, "stream_exists", "no_stream"):
        delete(t, t.stream(), expect)
    read(t, "$$" + t.stream())
    for name, expect in (("t1", "no_stream"), ("t2", "stream_exists"), ("t3", 1), ("t4", 0)):
        append(t, t.stream(name), "no_stream", *many(t, 2))
        delete(t, t.stream(name), 1)
        tombstone(t, t.stream(name), expect)
        read(t, t.stream(name))
    delete(t, "$$" + t.stream(), "any")
    tombstone(t, "$$" + t.stream(), "any")


@scenario("delete/other-metadata-lost-and-kept")
def _(t):
    s = t.stream()
    append(t, s, "no_stream", *many(t, 3))
    set_metadata(t, s, "any", b'{"owner":"x","$maxCount":2}', "m1")
    delete(t, s, "any")
    read(t, "$$" + s)
    set_metadata(t, s, "any", b'{"$tb":9223372036854775807,"owner":"y", "list":[1, 2.50]}', "m2")
    read(t, s)
    read(t, "$$" + s)
    append(t, s, "any", proposed(t, "again"))
    read(t, "$$" + s)
    read(t, s)


@scenario("delete/metadata-written-by-hand")
def _(t):
    s = t.stream()
    append(t, s, "no_stream", *many(t, 3))
    sub = subscribe(t, s)
    sub.recv_until(live)
    delete(t, s, "any")
    set_metadata(t, s, "stream_exists", b'{"x":1}', "m1")  # the node writes metadata again, after it
    read(t, s)
    read(t, "$$" + s)
    delete(t, s, 2)
    set_metadata(t, s, 3, b'{"$tb":2, "$maxCount":9}', "m2")
    read(t, s)
    read(t, "$$" + s)
    append(t, s, "stream_exists", proposed(t, "more"))
    read(t, s)
    sub.recv(1)
    sub.quiet(0.3)
    sub.cancel()


# -- subscriptions -----------------------------------------------------------
@scenario("subscribe/soft-deleted-stream")
def _(t):
    s = t.stream()
    append(t, s, "no_stream", *many(t, 3))
    delete(t, s, "any")
    subs = [subscribe(t, s, at=at) for at in ("start", 0, 7, "end")]
    for sub in subs:
        sub.recv(1)
        sub.recv(1, patience=0.8)
    append(t, s, "no_stream", *many(t, 1, start=10))
    for sub in subs[:2] + subs[3:]:
        sub.recv(1)
        sub.recv_until(live, patience=0.3)
    subs[2].quiet(0.3)
    for sub in subs:
        sub.cancel()


@scenario("subscribe/all-odd-starts")
def _(t):
    tag = "SubOdd"
    r = append(t, t.stream(), "no_stream", *many(t, 1, type=tag))
    append(t, t.stream(), 0, *many(t, 1, start=1, type=tag))
    c, p = position(r)
    for at in ((0, 0), (c, 0), (c, p), (MAX_REVISION, MAX_REVISION), (c + 1, p + 1), (c, c + 1), (1 << 40, 1 << 40)):
        t.say(
            "start "
            + {
                (0, 0): "zero",
                (c, 0): "(X, 0)",
                (c, p): "of the first event",
                (c + 1, p + 1): "no boundary",
                (c, c + 1): "prepare above commit",
                (1 << 40, 1 << 40): "beyond the end",
            }.get(at, "U64MAX")
        )
        sub = subscribe(t, filter=types(tag, window=100, interval=100), at=at)
        got = sub.recv_until(lambda m: live(m) or "checkpoint" in m, patience=1.5)
        if sub.ended is None and got and not live(got[-1]):
            sub.recv_until(live, patience=1.5)
        for step in t.steps[-4:]:
            if "checkpoint" in step.get("body", {}):
                step["body"] = {"checkpoint": "somewhere"}
        sub.cancel()
    s = subscribe(t, t.stream(), at=MAX_REVISION)
    s.recv(2)
    s.cancel()


@scenario("subscribe/links-resolved-live")
def _(t):
    append(t, t.stream("a"), "no_stream", *many(t, 2))
    sub = subscribe(t, t.stream("l"), links=True, at="end")
    sub.recv(2)
    every = subscribe(
        t, links=True, at="end", filter=types(t.stream("l"), by="stream_identifier", window=100, interval=100)
    )
    every.recv_until(live)
    append(
        t,
        t.stream("l"),
        "no_stream",
        link(t, f"1@{t.stream('a')}", "l1"),
        link(t, f"9@{t.stream('a')}", "gone"),
        link(t, "nonsense", "bad"),
        proposed(t, "plain"),
    )
    sub.recv(4)
    every.recv(4)
    sub.cancel()
    every.cancel()


@scenario("subscribe/slow-on-a-stream")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 2))
    sub = slow_subscribe(t, t.stream(), at=1)
    sub.recv_until(live)
    sub.gate.clear()
    flood(t, t.stream(), 240)
    sub.gate.set()
    after_the_flood(t, sub, 241)
    if sub.ended is None:
        append(t, t.stream(), 241, proposed(t, "last"))
        sub.recv(1)
        sub.quiet()
        sub.cancel()


@scenario("subscribe/filtered-checkpoints-in-catch-up")
def _(t):
    tag = "CkCatch"
    wait_still(t)
    r = append(t, t.stream("first"), "no_stream", proposed(t, "first", type=tag))
    with unsaid(t, "100 events appended to other; 1 to mine after the 35th, 1 after the 70th"):
        append(t, t.stream("other"), "any", *many(t, 35, type="No"))
        append(t, t.stream("mine"), "any", *many(t, 1, start=100, type=tag))
        append(t, t.stream("other"), "any", *many(t, 35, start=35, type="No"))
        append(t, t.stream("mine"), "any", *many(t, 1, start=101, type=tag))
        append(t, t.stream("other"), "any", *many(t, 30, start=70, type="No"))
    at = places(t, t.stream("other"), t.stream("mine"), t.stream("first"))
    for window, interval in ((10, 1), (10, 3), (7, 2), (None, 1), (200, 1)):
        mark = len(t.steps)
        sub = subscribe(t, filter=types(tag, window=window, interval=interval), at=position(r))
        sub.recv_until(live)
        sub.cancel()
        name_checkpoints(t, mark, at)
    mark = len(t.steps)
    sub = subscribe(t, filter=types("nothing-like-this", window=10_000, interval=100))  # 24.10: U64MAX
    sub.recv_until(live)
    sub.cancel()
    name_checkpoints(t, mark, at)


@scenario("subscribe/filtered-checkpoints-live")
def _(t):
    tag = "CkLive"
    wait_still(t)
    r = append(t, t.stream("first"), "no_stream", proposed(t, "first", type=tag))
    mark = len(t.steps)
    sub = subscribe(t, filter=types(tag, window=5, interval=2), at=position(r))
    sub.recv_until(live)
    append(t, t.stream("mine"), "any", *many(t, 1, type=tag))
    sub.recv(1)
    with unsaid(t, "27 events appended to other"):
        append(t, t.stream("other"), "any", *many(t, 27, start=20, type="No"))
    drain(sub)
    append(t, t.stream("mine"), "any", *many(t, 3, start=1, type=tag))
    drain(sub)
    sub.cancel()
    name_checkpoints(t, mark, places(t, t.stream("other"), t.stream("mine"), t.stream("first")))


# -- batch append ------------------------------------------------------------
@scenario("batch-append/forms-of-ids-and-names")
def _(t):
    call = t.open(S + "BatchAppend")
    b = batch(t, "c1", t.stream(), "no_stream", proposed(t, "a", form="structured"), deadline=20)
    b["correlation_id"] = t.uid_msg("c1", "structured")
    call.send(b)
    call.recv(1)
    for cid, identifier in (("no identifier", None), ("empty name", b"")):
        b = batch(t, cid, t.stream(), "any", proposed(t, cid), deadline=20)
        b["options"].pop("stream_identifier")
        if identifier is not None:
            b["options"]["stream_identifier"] = {"stream_name": identifier}
        call.send(b)
        call.recv(1, patience=1.5)
        if call.ended:
            call = t.open(S + "BatchAppend")
    b = batch(
        t, "no id", t.stream(), "any", {"metadata": {"type": "T", "content-type": BIN}, "data": b"x"}, deadline=20
    )
    call.send(b)
    call.recv(1, patience=1.5)
    if call.ended:
        call = t.open(S + "BatchAppend")
    b = batch(t, "c2", t.stream(), "any", proposed(t, "c"), deadline=20)
    b.pop("correlation_id")
    call.send(b)
    call.recv(1, patience=1.5)
    call.cancel()
    read(t, t.stream())


@scenario("batch-append/interleaved")
def _(t):
    call = t.open(S + "BatchAppend")
    call.send(batch(t, "c1", t.stream("a"), "no_stream", *many(t, 1), final=False, deadline=20))
    call.send(batch(t, "c2", t.stream("b"), "no_stream", *many(t, 1, start=10), final=False, deadline=20))
    call.send({"correlation_id": t.uid_msg("c1"), "proposed_messages": many(t, 1, start=1)})
    call.send({"correlation_id": t.uid_msg("c2"), "proposed_messages": many(t, 1, start=11), "is_final": True})
    call.recv(1)
    again = batch(t, "c1", t.stream("elsewhere"), 77, *many(t, 1, start=2), deadline=20)  # options again: ignored?
    call.send(again)
    call.recv(1)
    call.send(batch(t, "c1", t.stream("a"), 2, *many(t, 1, start=3), deadline=20))  # the id anew
    call.recv(1)
    call.cancel()
    for s in ("a", "b", "elsewhere"):
        read(t, t.stream(s))


@scenario("batch-append/deadlines")
def _(t):
    call = t.open(S + "BatchAppend")
    for cid, deadline in (
        ("past", {"deadline_21_10_0": {"seconds": 1_000_000_000}}),
        ("future", {"deadline_21_10_0": {"seconds": 4_000_000_000}}),
        ("negative", {"deadline": {"seconds": -1}}),
        ("forever", {"deadline": {"seconds": 315_576_000_000}}),
    ):
        b = batch(t, cid, t.stream(), "any", proposed(t, cid))
        b["options"].update(deadline)
        call.send(b)
        call.recv(1, patience=1.5)
    b = batch(t, "unfinished", t.stream(), "any", proposed(t, "unfinished"), final=False)
    b["options"]["deadline"] = {"nanos": 300_000_000}
    call.send(b)
    call.recv(1, patience=2)
    call.send(
        {"correlation_id": t.uid_msg("unfinished"), "proposed_messages": [proposed(t, "too late")], "is_final": True}
    )
    call.quiet()
    call.cancel()
    read(t, t.stream())


@scenario("batch-append/every-expectation-missed")
def _(t):
    append(t, t.stream(), "no_stream", *many(t, 2))
    append(t, t.stream("deleted"), "no_stream", *many(t, 2, start=10))
    delete(t, t.stream("deleted"), "any")
    e = many(t, 2)
    call = t.open(S + "BatchAppend")
    for cid, stream, expect, events in (
        ("c1", "", "any", (e[0], proposed(t, "n1"))),
        ("c2", "", "stream_exists", (e[0], proposed(t, "n2"))),
        ("c3", "", "no_stream", (proposed(t, "n3"),)),
        ("c4", "", 0, (proposed(t, "n4"),)),
        ("c5", "", 9, ()),
        ("c6", "none", "stream_exists", (proposed(t, "n6"),)),
        ("c7", "none", 0, ()),
        ("c8", "deleted", "stream_exists", (proposed(t, "n8"),)),
        ("c9", "deleted", 0, (proposed(t, "n9"),)),
        ("c10", "", MAX_REVISION, (proposed(t, "n10"),)),
    ):
        call.send(batch(t, cid, t.stream(stream), expect, *events, deadline=20))
        call.recv(1)
    call.cancel()
