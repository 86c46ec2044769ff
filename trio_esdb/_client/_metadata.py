"""Stream metadata: written and read as an event of a stream beside the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trio_esdb._convert import append_options, proposed_message
from trio_esdb._errors import StreamNotFoundError
from trio_esdb._model import (
    AppendResult,
    Credentials,
    NewEvent,
    RecordedEvent,
    RetryPolicy,
    StreamMetadata,
    StreamState,
    metadata_from_json,
    metadata_to_json,
)
from trio_esdb._rpc import CallKind, Method, Operation

from ._append_result import append_kind, append_result
from ._area import Area
from ._arguments import (
    ExpectedPosition,
    check_expected,
    check_how,
    check_stream_name,
    check_timeout,
)
from ._position import ReadOptions


class MetadataArea(Area):
    """Calls about the metadata of streams."""

    async def get_stream_metadata(
        self,
        stream_name: str,
        timeout: float | None = None,
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> tuple[StreamMetadata, int | None]:
        """Read the metadata of a stream.

        Args:
            stream_name: The name of the stream.
            timeout: As for ``append_events``.
            retry: As for ``append_events``.
            credentials: As for ``append_events``.

        Returns:
            The metadata, and its version. The version is the ``expected_position`` of ``set_stream_metadata``. Without
            metadata, they are an empty ``StreamMetadata`` and None.

        Raises:
            InvalidMetadataError: The metadata that was written is not a JSON object.
            StreamDeletedError: The stream was tombstoned.
            ESDBError: As for ``read_stream_events``.
        """
        check_stream_name(stream_name)
        check_how(retry, credentials)
        options = ReadOptions(stream_name="$$" + stream_name, backwards=True, limit=1)
        operation = Operation(
            Method.READ,
            [options.request()],
            f"reading the metadata of stream {stream_name!r}",
            CallKind.UNARY_READ,
            stream_name,
            timeout=check_timeout(timeout),
            retry=retry,
            credentials=credentials,
        )
        async with self._open(operation, options) as events:
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
        *,
        retry: RetryPolicy | bool | None = None,
        credentials: Credentials | None = None,
    ) -> AppendResult:
        """Replace the metadata of a stream, which need not exist.

        Args:
            stream_name: The name of the stream.
            metadata: A ``StreamMetadata``, or any mapping that can be written as JSON.
            expected_position: The version of the metadata to replace, as ``get_stream_metadata`` returns it. None means
                that there is none yet. ``StreamState.ANY`` makes no check.
            timeout: As for ``append_events``.
            retry: As for ``append_events``.
            credentials: As for ``append_events``.

        Returns:
            The commit position of the metadata event, an int whose ``stream_position`` is the new version.

        Raises:
            ExpectedPositionError: The metadata has another version. Nothing was written.
            InvalidArgumentError: The metadata cannot be written as JSON, or has a value that servers would ignore.
            StreamDeletedError: The stream was tombstoned.
            ESDBError: As for ``append_events``.
        """
        check_stream_name(stream_name)
        check_how(retry, credentials)
        seconds = check_timeout(timeout)
        expected = check_expected(expected_position)
        event = NewEvent(type="$metadata", data=metadata_to_json(metadata))
        messages = [append_options("$$" + stream_name, expected), proposed_message(event)]
        operation = Operation(
            Method.APPEND,
            messages,
            f"writing the metadata of stream {stream_name!r}",
            append_kind(expected),
            stream_name,
            expected_position,
            seconds,
            retry,
            credentials,
            leader=True,
        )
        reply = await self._run(operation)
        return append_result(operation, reply, "there is none", "its version is {}")
