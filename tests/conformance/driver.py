"""Hold scripted gRPC conversations with an EventStoreDB node and write down what it answers.

A scenario is a function that takes a `Talk`. Everything it sends and everything the node
answers is recorded, then normalised: log positions become ranks (P0 < P1 < ...), creation
times become T, ids made by the server become SUB. Two nodes behave alike where their
normalised records are equal. The client here is grpcio with messages built from the
`.proto` files it is pointed at, so it shares no code with trio_esdb.
"""

from __future__ import annotations

import base64
import json
import queue
import re
import tempfile
import threading
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

NAMESPACE = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
SCENARIOS: dict[str, Callable[[Talk], None]] = {}
PATIENCE = 8.0  # seconds to wait for something that should come
SILENCE = 0.7  # seconds of nothing that count as silence
HTTP_ONLY = {"date", "server", "content-length", "content-type"}  # of a trailers-only answer


def scenario(name: str):
    def register(fn):
        assert name not in SCENARIOS, name
        SCENARIOS[name] = fn
        return fn

    return register


def basic(name: str, password: str) -> str:
    """The value of an authorization header."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Schema:
    """Message classes and methods, by full name, from a folder of .proto files."""

    def __init__(self, proto_dir: Path):
        import grpc_tools
        from grpc_tools import protoc

        files = sorted(p.relative_to(proto_dir).as_posix() for p in proto_dir.rglob("*.proto"))
        wkt = Path(grpc_tools.__file__).parent / "_proto"
        with tempfile.TemporaryDirectory() as tmp:
            out = Path(tmp, "set.pb")
            code = protoc.main(
                ["protoc", f"-I{proto_dir}", f"-I{wkt}", "--include_imports", f"--descriptor_set_out={out}", *files]
            )
            if code:
                raise SystemExit(f"protoc failed on {proto_dir}")
            self.files = list(descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file)
        self.pool = descriptor_pool.DescriptorPool()
        for f in self.files:
            self.pool.Add(f)
        self.methods = {}
        for f in self.files:
            for s in f.service:
                for m in s.method:
                    self.methods[f"/{f.package}.{s.name}/{m.name}"] = (
                        m.input_type.lstrip("."),
                        m.output_type.lstrip("."),
                    )

    def cls(self, full_name: str):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full_name))


def build(msg: Message, values: dict) -> Message:
    """Fill a message from nested dicts.

    {} marks an empty sub-message as present; a google.protobuf.Value is plain JSON.
    """
    if msg.DESCRIPTOR.full_name == "google.protobuf.Value":
        return json_format.ParseDict(values, msg)
    for key, value in values.items():
        field = msg.DESCRIPTOR.fields_by_name[key]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is None:
                getattr(msg, key).update(value)
            else:
                for k, v in value.items():
                    build(getattr(msg, key)[k], v)
        elif field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED:
            if field.message_type is not None:
                for item in value:
                    build(getattr(msg, key).add(), item)
            else:
                getattr(msg, key).extend(value)
        elif field.message_type is not None:
            sub = getattr(msg, key)
            sub.SetInParent()
            build(sub, value)
        else:
            setattr(msg, key, value)
    return msg


def plain(msg: Message) -> dict:
    """A message as nested dicts, present fields only; bytes as text where they are text."""
    out: dict[str, Any] = {}
    for field, value in msg.ListFields():
        repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            out[field.name] = {k: value[k] for k in sorted(value)}
        elif field.message_type is not None:
            if field.message_type.full_name == "google.protobuf.Any":
                out[field.name] = [_any(v, msg) for v in value] if repeated else _any(value, msg)
            elif field.message_type.full_name in ("google.protobuf.Value", "google.protobuf.Struct"):
                out[field.name] = json_format.MessageToDict(value)
            else:
                out[field.name] = [plain(v) for v in value] if repeated else plain(value)
        elif field.type == field.TYPE_BYTES:
            out[field.name] = [_text(v) for v in value] if repeated else _text(value)
        elif field.type == field.TYPE_ENUM:
            out[field.name] = [_enum_name(field, v) for v in value] if repeated else _enum_name(field, value)
        else:
            out[field.name] = list(value) if repeated else value
    # proto3 scalars inside a oneof with default value are listed by ListFields (they have presence)
    return out


def _enum_name(field, number: int):
    names = field.enum_type.values_by_number
    return names[number].name if number in names else number


def _text(b: bytes):
    try:
        s = b.decode("utf-8")
        if len(s) > 300:
            return f"<{len(b)} bytes>"
        return s
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(b).decode()}


def _any(value, owner):
    name = value.type_url.rpartition("/")[2]
    pool = owner.DESCRIPTOR.file.pool
    try:
        cls = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        return {"type_url": value.type_url, "value": plain(cls.FromString(value.value))}
    except KeyError:
        return {"type_url": value.type_url, "bytes": len(value.value)}


class Call:
    def __init__(self, talk: Talk, name: str, path: str, metadata, timeout):
        self.talk, self.name, self.path = talk, name, path
        self.in_name, self.out_name = talk.schema.methods[path]
        self._requests: queue.Queue = queue.Queue()
        self._answers: queue.Queue = queue.Queue()
        stub = talk.channel.stream_stream(path, request_serializer=bytes, response_deserializer=bytes)
        self._rpc = stub(iter(self._requests.get, None), metadata=metadata, timeout=timeout)
        threading.Thread(target=self._read, daemon=True).start()
        self.ended = None

    def _read(self):
        try:
            for raw in self._rpc:
                self._answers.put(("message", raw))
        except grpc.RpcError:
            pass
        self._answers.put(("end", None))

    def send(self, body: dict):
        self.talk.note({"do": "send", "call": self.name, "body": _printable(body)})
        msg = build(self.talk.schema.cls(self.in_name)(), body)
        self._requests.put(msg.SerializeToString(deterministic=True))
        return self

    def half_close(self):
        self.talk.note({"do": "half_close", "call": self.name})
        self._requests.put(None)
        return self

    def cancel(self):
        self.talk.note({"do": "cancel", "call": self.name})
        self._rpc.cancel()
        self._requests.put(None)

    def recv(self, n: int = 1, patience: float = PATIENCE) -> list[dict]:
        """The next n messages; fewer if the call ends or stays silent."""
        got = []
        for _ in range(n):
            item = self._next(patience)
            if item is None or item.get("got") == "end":
                break
            got.append(item["body"])
        return got

    def recv_until(self, stop: Callable[[dict], bool], patience: float = PATIENCE) -> list[dict]:
        got = []
        while True:
            item = self._next(patience)
            if item is None or item.get("got") == "end":
                return got
            got.append(item["body"])
            if stop(item["body"]):
                return got

    def recv_end(self, patience: float = PATIENCE):
        """Everything up to the end of the call, and how it ended."""
        while True:
            item = self._next(patience)
            if item is None or item.get("got") == "end":
                return item

    def quiet(self, seconds: float = SILENCE):
        """Note that nothing comes (or what does) for a while."""
        while self._next(seconds, say_silence=True) is not None and self.ended is None:
            pass

    def _next(self, patience, say_silence=True):
        if self.ended is not None:
            return None
        try:
            kind, raw = self._answers.get(timeout=patience)
        except queue.Empty:
            if say_silence:
                self.talk.note({"got": "silence", "call": self.name})
            return None
        if kind == "message":
            msg = self.talk.schema.cls(self.out_name).FromString(raw)
            item = {"got": "message", "call": self.name, "body": plain(msg)}
        else:
            trailers = {
                k: (v if isinstance(v, str) else self._binary(k, v))
                for k, v in (self._rpc.trailing_metadata() or ())
                if k not in HTTP_ONLY
            }
            item = {
                "got": "end",
                "call": self.name,
                "code": self._rpc.code().name,
                "details": self._rpc.details() or "",
                "trailers": trailers,
            }
            self.ended = item
        self.talk.note(item)
        return item

    def _binary(self, key, value):
        """A google.rpc.Status as nested dicts, where the .proto files hold one; else only a length."""
        try:
            return plain(self.talk.schema.cls({"grpc-status-details-bin": "google.rpc.Status"}[key]).FromString(value))
        except KeyError:
            return {"bytes": len(value)}


def _printable(value):
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, dict):
        return {k: _printable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(v) for v in value]
    if isinstance(value, str) and len(value) > 10_000:
        return f"<{len(value)} characters>"
    return value


class GivenUp(Exception):
    """The rest of a scenario makes no sense."""


class Talk:
    """One scenario's conversation."""

    def __init__(self, schema: Schema, channel: grpc.Channel, name: str, metadata=(), give_up_on=None):
        self.schema, self.channel, self.name = schema, channel, name
        self._give_up_on = give_up_on
        self.metadata = tuple(metadata)
        self.steps: list[dict] = []
        self._calls = 0

    def note(self, step: dict):
        self.steps.append(step)
        if "code" in step and step["code"] == self._give_up_on:
            raise GivenUp(step["details"])

    def say(self, text: str):
        self.note({"about": text})

    @contextmanager
    def aside(self):
        """Keep these calls out of the record: how often one must ask until something settles is nobody's behaviour."""
        mark, calls = len(self.steps), self._calls
        yield
        del self.steps[mark:]
        self._calls = calls

    # -- names and ids are fixed by the scenario's name, so records compare --
    def stream(self, suffix: str = "") -> str:
        return f"{self.name.replace('/', '-')}{'-' + suffix if suffix else ''}"

    def uid(self, key: Any) -> uuid.UUID:
        return uuid.uuid5(NAMESPACE, f"{self.name}#{key}")

    def uid_msg(self, key: Any, form: str = "string") -> dict:
        u = self.uid(key)
        if form == "string":
            return {"string": str(u)}
        hi, lo = u.int >> 64, u.int & (1 << 64) - 1

        def signed(x):
            return x - (1 << 64) if x >> 63 else x

        return {"structured": {"most_significant_bits": signed(hi), "least_significant_bits": signed(lo)}}

    # -- calls --
    def open(self, path: str, metadata=None, timeout: float | None = 60) -> Call:
        self._calls += 1
        name = f"c{self._calls}"
        md = tuple(self.metadata if metadata is None else metadata)
        self.note({"do": "start", "call": name, "rpc": path, "metadata": {k: v for k, v in md if k != "authorization"}})
        return Call(self, name, path, md, timeout)

    def ask(self, path: str, *bodies: dict, metadata=None, timeout: float | None = 60) -> list[dict]:
        """Send all bodies, half-close, take everything to the end; returns the messages."""
        call = self.open(path, metadata, timeout)
        for body in bodies:
            call.send(body)
        call.half_close()
        mark = len(self.steps)
        call.recv_end()
        return [s["body"] for s in self.steps[mark:] if s.get("got") == "message"]


POSITION_KEYS = {"commit_position", "prepare_position", "position"}
POSITION_TEXT = re.compile(r"\bC:(\d+)/P:(\d+)\b")
PARKED_AT = re.compile(r'("added": ")[^"]+')
CAUSED_AT = re.compile(r'("\$[cp]":)(\d+)\b')  # in the metadata of what projections write
WRITTEN_BY = re.compile(r'("\$v":")\d+:')  # the number of the projection that wrote it
CAUSED_WHEN = re.compile(r'("\$eventTimestamp":")[^"]+')
CAUSED_BY = re.compile(r'("\$causedBy":")([0-9a-f-]{36})')
MEASURED = {
    "average_per_second",
    "average_items_per_second",
    "count_since_last_measurement",
    "total_items",
    "time_stamp",
}


def normalise(steps: list[dict]) -> list[dict]:
    """Positions become ranks; times, rates and ids that the node made become fixed words."""
    positions: set[int] = set()
    known_ids: set[str] = set()

    def collect(v, key=None):
        if isinstance(v, dict):
            for k, x in v.items():
                collect(x, k)
        elif isinstance(v, list):
            for x in v:
                collect(x, key)
        elif key in POSITION_KEYS and isinstance(v, int) and v < (1 << 63) - 1:
            positions.add(v)
        elif isinstance(v, str):
            for pair in POSITION_TEXT.findall(v):
                positions.update(int(p) for p in pair)
            positions.update(int(p) for _, p in CAUSED_AT.findall(v))

    collect(steps)
    for step in steps:
        if "do" in step:
            made = {k: v for k, v in step.get("body", {}).items() if k not in ("ack", "nack")}
            known_ids.update(_ids(made))
    rank = {p: f"P{i}" for i, p in enumerate(sorted(positions))}

    def swap(v, key=None):
        if key == "stack_entries":
            return "STACK"
        if isinstance(v, dict):
            return {k: swap(x, k) for k, x in v.items() if k != "timestamp" and k not in MEASURED}
        if isinstance(v, list):
            return [swap(x, key) for x in v]
        if key in POSITION_KEYS and v in rank:
            return rank[v]
        if key == "created" and isinstance(v, str) and v.isdigit():
            return "T"
        if key == "ticks_since_epoch":
            return "T"
        if key == "port":
            return "PORT"
        if key == "event_store_server_version":
            return "VERSION"
        if key == "subscription_id":
            return "SUB"
        if key == "string" and isinstance(v, str) and _is_uuid(v) and v not in known_ids:
            return "ID"
        if key in ("most_significant_bits", "least_significant_bits") and v not in known_ids:
            return "ID"
        if isinstance(v, str):
            v = POSITION_TEXT.sub(lambda m: f"C:{rank[int(m[1])]}/P:{rank[int(m[2])]}", v)
            v = CAUSED_WHEN.sub(r"\1T", CAUSED_AT.sub(lambda m: m[1] + rank[int(m[2])], v))
            v = WRITTEN_BY.sub(r"\1N:", v)
            v = CAUSED_BY.sub(lambda m: m[0] if m[2] in known_ids else m[1] + "ID", v)
            return PARKED_AT.sub(r"\1T", v)
        return v

    return swap(steps)


def _ids(v):
    """Every id in a request, in both of its forms."""
    if isinstance(v, dict):
        for k, x in v.items():
            if k in ("string", "record_id") and isinstance(x, str) and _is_uuid(x, any_form=k == "record_id"):
                u = uuid.UUID(x)
                yield str(u)
                yield from (n - (1 << 64) if n >> 63 else n for n in (u.int >> 64, u.int & (1 << 64) - 1))
            elif k in ("most_significant_bits", "least_significant_bits"):
                yield x
            else:
                yield from _ids(x)
        if {"most_significant_bits", "least_significant_bits"} <= v.keys():
            mask = (1 << 64) - 1
            yield str(uuid.UUID(int=(v["most_significant_bits"] & mask) << 64 | v["least_significant_bits"] & mask))
    elif isinstance(v, list):
        for x in v:
            yield from _ids(x)


def _is_uuid(s: str, any_form=False) -> bool:
    try:
        return str(uuid.UUID(s)) == s or any_form
    except ValueError:
        return False


def connect(host: str, port: int, *, tls_ca: bytes | None = None) -> grpc.Channel:
    options = [
        ("grpc.max_receive_message_length", 32 << 20),
        ("grpc.max_send_message_length", 64 << 20),
        ("grpc.enable_retries", 0),
    ]
    if tls_ca:
        return grpc.secure_channel(f"{host}:{port}", grpc.ssl_channel_credentials(tls_ca), options)
    return grpc.insecure_channel(f"{host}:{port}", options)


def hold(
    schema: Schema, host: str, port: int, name: str, *, metadata=(), tls_ca=None, raw=False, give_up_on=None
) -> list[dict]:
    """One scenario's conversation with the node at this address: its steps, normalised.

    A call that ends with the status `give_up_on` ends the conversation.
    """
    channel = connect(host, port, tls_ca=tls_ca)
    talk = Talk(schema, channel, name, metadata, give_up_on)
    try:
        SCENARIOS[name](talk)
    except Exception as exc:  # noqa: BLE001 - a scenario must say what broke, and the rest still run
        talk.note({"broke": f"{type(exc).__name__}: {exc}"})
    channel.close()
    return talk.steps if raw else normalise(talk.steps)


def write(record: dict, path: Path):
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
