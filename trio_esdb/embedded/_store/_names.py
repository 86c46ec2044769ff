"""The names that a node gives a meaning to."""

from __future__ import annotations

METADATA_TYPE = "$metadata"
DELETED_TYPE = "$streamDeleted"
LINK_TYPE = "$>"
SETTINGS_STREAM = "$settings"
EPOCH_STREAM = "$epoch-information"

_GROUP_OF_ALL = "$persistentsubscription-$all::"
_GROUP_ENDINGS = ("-checkpoint", "-parked")


def is_valid_stream(name: str) -> bool:
    """Whether a stream may have this name: any but the empty one and `$$`."""
    return name not in ("", "$$")


def is_system(name: str) -> bool:
    """Streams that only administrators may touch, unless an access list says otherwise."""
    return name.startswith("$")


def is_metastream(name: str) -> bool:
    """Streams that hold the metadata of another stream."""
    return name.startswith("$$")


def metastream_of(name: str) -> str:
    """Where the metadata of this stream is."""
    return "$$" + name


def original_of(name: str) -> str:
    """The stream whose metadata this metastream holds."""
    return name[2:]


def is_hidden_from_all(name: str) -> bool:
    """Streams that no reader of `$all` ever sees, filtered or not: they would only see themselves being written."""
    if not name.startswith("$"):
        return False
    if name == EPOCH_STREAM:
        return True
    # The ending must not overlap with the beginning.
    return name.startswith(_GROUP_OF_ALL) and name[len(_GROUP_OF_ALL) :].endswith(_GROUP_ENDINGS)
