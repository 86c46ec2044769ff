"""The names that have a meaning for a node."""

from __future__ import annotations

METADATA_TYPE = "$metadata"
DELETED_TYPE = "$streamDeleted"
LINK_TYPE = "$>"
EPOCH_STREAM = "$epoch-information"

_GROUP_OF_ALL = "$persistentsubscription-$all::"
_GROUP_ENDINGS = ("-checkpoint", "-parked")


def is_valid_stream(name: str) -> bool:
    """Whether a stream may have this name: any but the empty one and `$$`."""
    return name not in ("", "$$")


def is_metastream(name: str) -> bool:
    """Whether this stream holds the metadata of another stream."""
    return name.startswith("$$")


def metastream_of(name: str) -> str:
    """The stream that holds the metadata of this stream."""
    return "$$" + name


def original_of(name: str) -> str:
    """The stream whose metadata this metastream holds."""
    return name[2:]


def is_hidden_from_all(name: str) -> bool:
    """Whether readers of `$all` never see the events of this stream, with a filter or without one.

    These are the epochs, and what persistent subscriptions to `$all` write: they would read their own writes.
    """
    if not name.startswith("$"):
        return False
    if name == EPOCH_STREAM:
        return True
    # The ending must not overlap with the beginning.
    return name.startswith(_GROUP_OF_ALL) and name[len(_GROUP_OF_ALL) :].endswith(_GROUP_ENDINGS)
