"""trio_esdb with betterproto2's messages in place of its hand-written codecs: what those gain."""

from __future__ import annotations

from typing import Any

from benchmarks.clients import ours
from benchmarks.clients._harness import Job, Meter, run
from trio_esdb._client import _writing
from trio_esdb._convert import ReadDecoder, _read_fallback
from trio_esdb._model import NewEvent
from trio_esdb_proto.event_store import client as shared
from trio_esdb_proto.event_store.client import streams as messages

_used = {"read": 0, "append": 0}


def _read_responses(_decoder: ReadDecoder, messages: list[bytes]) -> Any:
    _used["read"] += len(messages)
    return [_read_fallback.read_response(message) for message in messages]


def _proposed_message(event: NewEvent) -> bytes:
    _used["append"] += 1
    proposed = messages.AppendReqProposedMessage(
        id=shared.Uuid(string=str(event.id)),
        metadata={"type": event.type, "content-type": event.content_type},
        custom_metadata=event.metadata,
        data=event.data,
    )
    return bytes(messages.AppendReq(proposed_message=proposed))


def perform(job: Job, meter: Meter) -> None:
    """As trio_esdb does it, but for the codecs; an error if those were not replaced."""
    before = sum(_used.values())
    ours.perform(job, meter)
    if sum(_used.values()) - before < meter.units:
        raise AssertionError("the codecs were not replaced")


if __name__ == "__main__":
    ReadDecoder.read_responses = _read_responses  # type: ignore[method-assign]
    vars(_writing)["proposed_message"] = _proposed_message
    run(perform)
