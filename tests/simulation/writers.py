"""Writers of every kind. Each has streams of its own, but for those that contest one."""

from __future__ import annotations

import json
from random import Random

import trio

from trio_esdb import (
    ESDBClient,
    ESDBError,
    ExpectedPositionError,
    NewEvent,
    StreamDeletedError,
    StreamNotFoundError,
    StreamState,
)
from trio_esdb.testing import World

from .ledger import TEMPORARY, Attempt, Ledger, Outcome


class Writers:
    """All writers of a run; their streams are named after them."""

    def __init__(self, world: World, client: ESDBClient, ledger: Ledger, count: int) -> None:
        self._world = world
        self._client = client
        self._ledger = ledger
        self._count = count
        self.removed: set[str] = set()
        """Streams that were deleted, or perhaps were."""
        self.healed = False
        """Whether the faults have ended and the cluster is whole."""

    def event(self, type: str, data: str = "{}") -> NewEvent:
        """An event with an id of the simulation."""
        return NewEvent(type, data.encode(), id=self._world.new_id())

    async def _pause(self, random: Random) -> None:
        await trio.sleep(random.uniform(0.1, 1.5))

    def _random(self, name: str) -> Random:
        return Random(f"{self._world.seed}/{name}")

    async def _until_written(self, stream: str, expected: int | None, *events: NewEvent) -> int:
        """Append until it is written: with a number or None that is safe, however often. The position of the last."""
        while True:
            attempt = await self._ledger.append(self._client, stream, expected, *events)
            if attempt.position is not None:
                return attempt.position
            assert isinstance(attempt.error, TEMPORARY) or self._is_of_the_past(attempt.error, expected), (
                f"{stream} at {expected}: {attempt.error!r}"
            )
            await trio.sleep(0.1)

    def _is_of_the_past(self, error: ESDBError | None, confirmed: int | None) -> bool:
        """Whether a leader that was frozen answered from its old log, which ends before what another one has confirmed.

        Only within the seconds that it needs to notice the new leader: once all is healed, nobody may say so.
        """
        if not isinstance(error, ExpectedPositionError) or confirmed is None or self.healed:
            return False
        return error.actual is None or error.actual < confirmed

    # -- one for each kind -------------------------------------------------------------------------------------------

    async def numbers(self, stream: str) -> None:
        """Knows the position, and repeats what has no answer."""
        random = self._random(stream)
        position = None
        for number in range(self._count):
            position = await self._until_written(stream, position, self.event("Number", str(number)))
            assert position == number
            await self._pause(random)

    async def batches(self, stream: str) -> None:
        """The same with three events at a time, all or none."""
        random = self._random(stream)
        position = None
        for number in range(self._count // 2):
            events = [self.event("Number", f"{number}.{part}") for part in range(3)]
            position = await self._until_written(stream, position, *events)
            assert position == 3 * number + 2
            await self._pause(random)

    async def new_streams(self, prefix: str) -> None:
        """Each event begins a stream."""
        random = self._random(prefix)
        for number in range(self._count // 2):
            assert await self._until_written(f"{prefix}-{number}", None, self.event("Begun")) == 0
            await self._pause(random)

    async def any(self, stream: str) -> None:
        """Expects nothing, so it never repeats what may have been done."""
        random = self._random(stream)
        for number in range(self._count):
            attempt = await self._ledger.append(self._client, stream, StreamState.ANY, self.event("Any", str(number)))
            _check_temporary(attempt)
            await self._pause(random)

    async def exists(self, stream: str) -> None:
        """The same for a stream that must exist."""
        random = self._random(stream)
        await self._until_written(stream, None, self.event("Begun"))
        for number in range(self._count // 2):
            attempt = await self._ledger.append(
                self._client, stream, StreamState.EXISTS, self.event("Exists", str(number))
            )
            _check_temporary(attempt)
            await self._pause(random)

    async def contested(self, stream: str, name: str) -> None:
        """Several of these write to one stream: who finds another's event at the place decides anew."""
        random = self._random(name)
        for number in range(self._count // 2):
            event = self.event("Contested", f"{name} {number}")
            while True:
                end = await self._end(stream)
                attempt = await self._ledger.append(self._client, stream, end, event)
                if attempt.outcome is Outcome.WRITTEN:
                    break
                while attempt.outcome is Outcome.UNKNOWN:
                    if not self._is_of_the_past(attempt.error, end):
                        _check_temporary(attempt)
                    attempt = await self._ledger.append(self._client, stream, end, event)
                if attempt.outcome is Outcome.WRITTEN:
                    break
                if not isinstance(attempt.error, ExpectedPositionError):
                    _check_temporary(attempt)
            await self._pause(random)

    async def links(self, stream: str, target: str) -> None:
        """Events, and links to them in another stream."""
        random = self._random(stream)
        position = end = None
        for number in range(self._count // 2):
            end = await self._until_written(target, end, self.event("Number", str(number)))
            position = await self._until_written(stream, position, self.event("$>", f"{end}@{target}"))
            await self._pause(random)

    async def metadata(self, stream: str) -> None:
        """Sets the metadata of a stream, version by version.

        Each call writes an event with an id of its own, so a call finds what one before it has written, and is refused.
        It is refused before that is confirmed, when readers do not see it yet and it can still be cut off.
        """
        random = self._random(stream)
        version = None
        for number in range(self._count // 3):
            maybe = False
            following = 0 if version is None else version + 1
            while True:
                metadata = {"number": number}
                try:
                    result = await self._client.set_stream_metadata(stream, metadata, version)
                    assert result.stream_position == following
                    break
                except TEMPORARY as error:
                    maybe = maybe or error.applied is None
                except ExpectedPositionError as error:
                    if self._is_of_the_past(error, version):
                        await trio.sleep(0.1)
                        continue
                    assert maybe, "nobody else writes it"
                    actual = error.actual
                    found, stored = await self._metadata(stream)
                    assert actual == following
                    if stored == following:
                        assert found == metadata
                        break
                await trio.sleep(0.1)
            version = following
            found, stored = await self._metadata(stream)
            assert (found, stored) == ({"number": number}, version)
            await self._pause(random)

    async def deletions(self, prefix: str) -> None:
        """Begins streams and deletes them, every second one for ever."""
        random = self._random(prefix)
        for number in range(self._count // 4):
            stream = f"{prefix}-{number}"
            for_ever = number % 2 == 1
            last = await self._until_written(stream, None, self.event("Begun"), self.event("Begun"))
            self.removed.add(stream)
            delete = self._client.tombstone_stream if for_ever else self._client.delete_stream
            attempt = await self._ledger.write(stream, (), delete(stream, last))
            await self._check_deleted(stream, attempt, for_ever)
            await self._pause(random)

    async def _check_deleted(self, stream: str, attempt: Attempt, for_ever: bool) -> None:
        answer = await self._deletion_seen(stream)
        if answer is None:
            assert attempt.outcome is not Outcome.WRITTEN, f"{stream} is there, and was deleted"
        else:
            assert attempt.outcome is not Outcome.REFUSED, f"{stream} was certainly not deleted: {answer!r}"
            assert isinstance(answer, StreamDeletedError) == for_ever

    async def _deletion_seen(self, stream: str) -> ESDBError | None:
        while True:
            try:
                await self._client.get_stream_events(stream)
            except (StreamNotFoundError, StreamDeletedError) as error:
                return error
            except TEMPORARY:
                await trio.sleep(0.1)
            else:
                return None

    async def _metadata(self, stream: str) -> tuple[dict[str, object], int | None]:
        while True:
            try:
                metadata, version = await self._client.get_stream_metadata(stream)
                return json.loads(json.dumps(metadata)), version
            except TEMPORARY:
                await trio.sleep(0.1)

    async def _end(self, stream: str) -> int | None:
        while True:
            try:
                return await self._client.get_stream_position(stream)
            except TEMPORARY:
                await trio.sleep(0.1)


def _check_temporary(attempt: Attempt) -> None:
    assert attempt.error is None or isinstance(attempt.error, TEMPORARY), repr(attempt.error)
