"""Stream metadata: written and read as an event of a stream beside the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trio_esdb._convert import append_options, proposed_message, read_stream_request
from trio_esdb._errors import StreamNotFoundError
from trio_esdb._model import (
    AppendResult,
    NewEvent,
    RecordedEvent,
    StreamMetadata,
    StreamState,
    metadata_from_json,
    metadata_to_json,
)
from trio_esdb._rpc import Method, Operation, Repeat

from ._append_result import append_repeat, append_result
from ._area import Area
from ._arguments import ExpectedPosition, check_expected, check_stream_name, check_timeout


class MetadataArea(Area):
    """Calls about the metadata of streams."""

    async def get_stream_metadata(
        self, stream_name: str, timeout: float | None = None
    ) -> tuple[StreamMetadata, int | None]:
        """The metadata of a stream, and its version, which is what ``set_stream_metadata`` wants as expected position.

        A stream without metadata gives an empty one and None. Raises InvalidMetadataError if what was written there is
        not a JSON object, StreamDeletedError if the stream was tombstoned.
        """
        check_stream_name(stream_name)
        operation = Operation(
            Method.READ,
            [read_stream_request("$$" + stream_name, position=None, backwards=True, limit=1)],
            f"reading the metadata of stream {stream_name!r}",
            Repeat.ALWAYS,
            stream_name,
            timeout=check_timeout(timeout),
        )
        async with self._open(operation) as events:
            event: RecordedEvent
            try:
                async for event in events:
                    return metadata_from_json(event.data, stream_name), event.stream_position
            except StreamNotFoundError:
                pass
        return StreamMetadata(), None

    async def set_stream_metadata(
        self,
        stream_name: str,
        metadata: Mapping[str, Any],
        expected_position: ExpectedPosition = StreamState.ANY,
        timeout: float | None = None,
    ) -> AppendResult:
        """Replace the metadata of a stream, which need not exist.

        ``metadata`` is a StreamMetadata or any mapping that JSON can say. ``expected_position`` is the version of the
        metadata that it replaces, as ``get_stream_metadata`` gives it; None if there was none. The result's
        ``stream_position`` is the new version.

        Raises ExpectedPositionError if the version is another, InvalidArgumentError for what JSON cannot say and for
        values that a server would silently ignore, StreamDeletedError if the stream was tombstoned.
        """
        check_stream_name(stream_name)
        seconds = check_timeout(timeout)
        expected = check_expected(expected_position)
        event = NewEvent(type="$metadata", data=metadata_to_json(metadata))
        messages = [append_options("$$" + stream_name, expected), proposed_message(event)]
        operation = Operation(
            Method.APPEND,
            messages,
            f"writing the metadata of stream {stream_name!r}",
            append_repeat(expected),
            stream_name,
            expected_position,
            seconds,
        )
        reply = await self._run(operation)
        return append_result(operation, reply, "there is none", "its version is {}")
