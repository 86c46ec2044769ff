"""Decodes what a node tells of its cluster (ClusterInfo).

Read by hand, since each member has ten fields and a peer may send thousands of members.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from trio_esdb._errors import ProtocolError
from trio_esdb._model import ClusterMember, NodeState
from trio_esdb._protobuf import LENGTH, VARINT, FieldReader, Malformed

_MEMBERS = 3000
"""The number of members that an answer may have."""
_FIELDS = 12 * _MEMBERS
"""The number of fields that it may have; a member has eleven."""
_STATES = dict(enumerate(NodeState))
"""The order of the names is that of the protocol's numbers."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_HEX = frozenset("0123456789abcdefABCDEF")
_LONGEST_ADDRESS = 1000
"""Bytes. What is longer is cut: it is no host name, and nothing can be reached under it."""


def cluster_members(raw: bytes) -> tuple[ClusterMember, ...]:
    """Read the members in the response to Gossip.Read, in the order in which the server sent them.

    What a member does not say, or says in a way that is not known, is as if nothing were known: an unknown state is
    UNKNOWN, an id that is none is zero.

    Raises:
        ProtocolError: The response cannot be decoded.
    """
    reader = FieldReader(raw, _FIELDS)
    members: list[ClusterMember] = []
    try:
        for number, wire_type, begin, end in reader.fields(0, len(raw)):
            if number == 1 and wire_type == LENGTH:
                if len(members) == _MEMBERS:
                    raise Malformed(f"it has more than {_MEMBERS} members")
                members.append(_member(raw, reader, begin, end))
        return tuple(members)
    except Malformed as exc:
        raise ProtocolError(f"the server's list of its cluster is malformed: {exc}", status="INTERNAL") from exc


def _member(raw: bytes, reader: FieldReader, at: int, stop: int) -> ClusterMember:
    # Where a field comes several times, the last one counts, and messages are merged: so one place for each value.
    ticks = state = port = most = least = 0
    address = text = b""
    is_alive = False
    for number, wire_type, value, end in reader.fields(at, stop):
        if wire_type == VARINT:
            if number == 2:
                ticks = value
            elif number == 3:
                state = value & 0xFFFFFFFF
            elif number == 4:
                is_alive = value != 0
        elif wire_type == LENGTH and number == 1:
            for part, kind, begin, after in reader.fields(value, end):
                if kind != LENGTH:
                    continue
                if part == 1:
                    text = b""
                    for half, form, bits, _ in reader.fields(begin, after):
                        if form == VARINT and half == 1:
                            most = bits
                        elif form == VARINT and half == 2:
                            least = bits
                elif part == 2:
                    text, most, least = raw[begin:after], 0, 0
        elif wire_type == LENGTH and number == 5:
            for part, kind, begin, after in reader.fields(value, end):
                if part == 1 and kind == LENGTH:
                    address = raw[begin : min(after, begin + _LONGEST_ADDRESS)]
                elif part == 2 and kind == VARINT:
                    port = begin & 0xFFFFFFFF
    return ClusterMember(
        address.decode("utf-8", "replace"),
        port,
        _STATES.get(state, NodeState.UNKNOWN),
        is_alive,
        UUID(int=most << 64 | least) if not text else _id(text),
        _time(ticks),
    )


def _id(text: bytes) -> UUID:
    digits = text[:100].decode("ascii", "replace").replace("-", "")
    return UUID(int=int(digits, 16) if len(digits) == 32 and _HEX.issuperset(digits) else 0)


def _time(ticks: int) -> datetime:
    """The time that is so many units of 100 ns after 1970, or the first or last one that there is."""
    if ticks >= 1 << 63:
        ticks -= 1 << 64
    try:
        return _EPOCH + timedelta(microseconds=ticks // 10)
    except OverflowError:
        return _EARLIEST if ticks < 0 else _LATEST
