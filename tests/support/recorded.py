"""What real nodes answered: their records, turned back into messages.

In a record a position is its rank (`P3`), an id that the node made is `ID` or `SUB`, a time is `T`, bytes are text, and
long ones only a size. Here they become numbers that rise, ids, a time and so many bytes again.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tests.conformance import driver
from tests.conformance.records import FOLDER, golden, schema
from trio_esdb import CaughtUp, Checkpoint, RecordedEvent

VERSIONS = ("23.10.6", "24.10.4", "26.1.0")
STREAMS = "/event_store.client.streams.Streams/"
SPOKEN = tuple(STREAMS + name for name in ("Read", "Append", "Delete", "Tombstone"))
"""What our client calls."""
TICKS = 17_672_256_001_234_560
WHEN = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
"""The time at which everything was recorded, the first in units of 100 ns."""
NOWHERE = 2**64 - 1

_SIZE = re.compile(r"<(\d+) bytes>")
_RANK = re.compile(r"P(\d+)")
_TIMED = ("caught_up", "fell_behind", "checkpoint")


@dataclass
class Said:
    """One call of a recorded conversation. ``end`` is None where the node had not ended it."""

    version: str
    scenario: str
    name: str
    path: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None

    def messages(self) -> list[bytes]:
        """The answers as the node sent them."""
        return self._build(self.answers, 1)

    def asked(self) -> list[bytes]:
        """The requests as that client sent them."""
        return self._build(self.requests, 0)

    def _build(self, bodies: list[dict[str, Any]], which: int) -> list[bytes]:
        kind = schema().cls(schema().methods[self.path][which])
        return [driver.build(kind(), body).SerializeToString() for body in bodies]


@cache
def _record(version: str) -> dict[str, list[dict[str, Any]]]:
    if version == "24.10.4":
        return golden()
    found: dict[str, list[dict[str, Any]]] = json.loads((FOLDER / f"{version}-differences.json").read_text())
    return found


def scenarios(version: str) -> list[str]:
    """The conversations about streams; of 23.10.6 and 26.1.0 only those with answers that differ from 24.10.4."""
    return [
        name
        for name, steps in _record(version).items()
        if any(step.get("rpc") in SPOKEN for step in steps) and not name.startswith("persistent/")
    ]


def steps(version: str, scenario: str) -> list[dict[str, Any]]:
    """A conversation as it was written down."""
    return _record(version)[scenario]


def said(version: str, scenario: str) -> dict[str, Said]:
    """The calls of a conversation that our client makes too, with numbers, ids and bytes again."""
    calls: dict[str, Said] = {}
    for step in steps(version, scenario):
        name = step.get("call")
        if step.get("do") == "start" and step["rpc"] in SPOKEN:
            calls[name] = Said(version, scenario, name, step["rpc"])
        elif name in calls:
            call = calls[name]
            if step.get("do") == "send":
                kind = schema().methods[call.path][0]
                call.requests.append(revive(step["body"], schema().pool.FindMessageTypeByName(kind)))
            elif step.get("got") == "message":
                kind = schema().methods[call.path][1]
                body = step["body"]
                if isinstance(body.get("checkpoint"), str):
                    body = {"checkpoint": _told(body["checkpoint"], call)}
                if version == "26.1.0":
                    body = {key: _timed(value) if key in _TIMED else value for key, value in body.items()}
                call.answers.append(revive(body, schema().pool.FindMessageTypeByName(kind)))
            elif step.get("got") == "end":
                call.end = step
    return calls


def revive(body: dict[str, Any], kind: Descriptor) -> dict[str, Any]:
    """A recorded message with numbers, ids and bytes again."""
    return {key: _value(value, kind.fields_by_name[key]) for key, value in body.items()}


def _value(value: Any, kind: FieldDescriptor) -> Any:
    if kind.message_type is not None and kind.message_type.GetOptions().map_entry:
        return {key: str(TICKS) if (key, each) == ("created", "T") else each for key, each in value.items()}
    if isinstance(value, list):
        return [_value(each, kind) for each in value]
    if kind.type == kind.TYPE_BYTES and isinstance(value, dict):
        return base64.b64decode(value["base64"])
    if isinstance(value, dict):
        return revive(value, kind.message_type)
    if kind.type == kind.TYPE_BYTES:
        size = _SIZE.fullmatch(value)
        return b"x" * int(size[1]) if size else value.encode()
    if kind.type == kind.TYPE_STRING:
        return str(uuid.uuid5(driver.NAMESPACE, value)) if value in ("ID", "SUB") else value
    if isinstance(value, str):
        rank = _RANK.fullmatch(value)
        assert rank, value
        return position(int(rank[1]))
    return value


def position(rank: int) -> int:
    """The number that a rank stands for."""
    return 1_000 * (rank + 1)


def _told(text: str, call: Said) -> dict[str, int]:
    """The checkpoint that a remark is about. Where its position is told by a name, it lies after what came before."""
    seen = [at for body in call.answers for at in _positions(body)]
    at = seen[-1] if seen else 0
    if "U64MAX" in text:
        return {"commit_position": NOWHERE, "prepare_position": NOWHERE}
    if "prepare 0" in text:
        return {"commit_position": at + 10, "prepare_position": 0}
    return {"commit_position": at, "prepare_position": at}


def _positions(body: dict[str, Any]) -> list[int]:
    return [part["commit_position"] for part in body.values() if isinstance(part, dict) and "commit_position" in part]


def _timed(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "timestamp": {"seconds": TICKS // 10**7, "nanos": TICKS % 10**7 * 100}}


def public(answer: dict[str, Any]) -> Any:
    """The message that a user should get for a response to a read or subscription; None for none."""
    match answer:
        case {"event": {"event": event, "link": link}}:
            return _event(event, _event(link))
        case {"event": {"event": event}} | {"event": {"link": event}}:
            return _event(event)
        case {"checkpoint": {"commit_position": commit, "prepare_position": prepare}}:
            return None if commit == NOWHERE else Checkpoint(commit, prepare)
        case {"caught_up": _}:
            return CaughtUp()
    return None


def _event(record: dict[str, Any], link: RecordedEvent | None = None) -> RecordedEvent:
    assert record["metadata"]["created"] == str(TICKS)
    return RecordedEvent(
        type=record["metadata"]["type"],
        data=record.get("data", b""),
        metadata=record.get("custom_metadata", b""),
        content_type=record["metadata"]["content-type"],
        id=_id(**record["id"]),
        stream_name=record["stream_identifier"]["stream_name"].decode(),
        stream_position=record.get("stream_revision", 0),
        commit_position=record.get("commit_position", 0),
        prepare_position=record.get("prepare_position", 0),
        recorded_at=WHEN,
        link=link,
    )


def _id(string: str = "", structured: dict[str, int] | None = None) -> uuid.UUID:
    if structured is None:
        return uuid.UUID(string)
    high, low = structured.get("most_significant_bits", 0), structured.get("least_significant_bits", 0)
    return uuid.UUID(int=(high % 2**64) << 64 | low % 2**64)
