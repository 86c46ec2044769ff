"""What a node writes by itself when it begins to lead: as a single node, when it starts on an empty log.

A log begins with an epoch: the time from one election of a leader to the next. Its record is no event. Two events
follow: the epoch once more, in the stream `$epoch-information`, which readers of `$all` never see; and the metadata of
`$scavenges`, the first event that they do see. The data of these records is as long as a real node's, so the positions
are the same: 548 for the metadata, 733 for the first event of a user.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ._names import EPOCH_STREAM, METADATA_TYPE, metastream_of
from ._store import Store
from ._values import ANY, NO_STREAM, Append, Proposal

_SCAVENGES_METADATA = b'{"$maxAge":2592000,"$acl":{"$r":"$ops","$w":[],"$d":[],"$mr":[],"$mw":[]}}'

_EPOCH = """{{
  "epochId": "{epoch}",
  "prevEpochPosition": {previous},
  "timeStamp": "{time:%Y-%m-%dT%H:%M:%S.%f}0Z",
  "leaderInstanceId": "{leader}"
}}"""


def write_first_events(store: Store, leader: int, new_id: Callable[[], int], now: int) -> None:
    """Write them to an empty store.

    Args:
        store: The store of a node that starts for the first time.
        leader: The id of the node, a number of 128 bits.
        new_id: Makes the ids of the epoch and of the events.
        now: Ticks since the Unix epoch.
    """
    epoch = new_id()
    for write in (epoch_event(epoch, -1, leader, new_id(), now), scavenges_metadata(new_id())):
        store.run(write, now)


def epoch_event(epoch: int, previous: int, leader: int, id: int, now: int) -> Append:
    """The event of an epoch.

    Args:
        epoch: The id of the epoch.
        previous: The position of the epoch before it, -1 for the first one.
        leader: The id of the node that leads.
        id: The id of the event.
        now: Ticks since the Unix epoch.
    """
    time = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=now // 10)
    data = _EPOCH.format(epoch=UUID(int=epoch), previous=previous, time=time, leader=UUID(int=leader))
    return Append(EPOCH_STREAM, ANY, [Proposal(id, EPOCH_STREAM, data.encode(), b"", True)])


def scavenges_metadata(id: int) -> Append:
    """The metadata of `$scavenges`, in an event of this id."""
    return Append(metastream_of("$scavenges"), NO_STREAM, [Proposal(id, METADATA_TYPE, _SCAVENGES_METADATA, b"", True)])
