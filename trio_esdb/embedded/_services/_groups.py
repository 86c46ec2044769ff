"""The groups of a node, by the streams that they read.

Each change of a group is written to a stream of the store, so that another process on the same store has the groups
too. A real node writes all groups anew after each change, and drops what it had written before; this store drops
nothing. Groups run on the node that leads, and only there.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import trio

from .._groups import GroupSettings
from .._store import ALL_STREAMS, ANY, Append, Delete, Proposal, StreamDeleted
from ._context import NodeContext
from ._failures import group_exists, group_failed, group_missing
from ._group_requests import FilterText, GroupRequest, strategy_exists
from ._running_group import RunningGroup, Spawn
from ._writes import Steps

_CONFIG_STREAM = "$persistentSubscriptionConfig"
_CONFIG_TYPE = "$PersistentConfig"
_DELETED = "deleted"
_PAGE = 1000
_TICK = 1.0
"""Seconds from one tick of the groups to the next."""
_BATCH_TOO_LARGE = (
    "Specified argument was out of the range of valid values. "
    "(Parameter 'ReadBatchSize may not be greater than or equal to BufferSize')"
)
_BEYOND_END = (
    "Invalid Start From position: commit position must be less than or equal to the last commit position in the "
    "transaction file."
)


class Groups:
    """Those of one process.

    Args:
        context: The node.
    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._running: dict[str, RunningGroup] = {}
        self._streams: dict[str, int] = {}
        """How many groups each stream has that ever had one."""
        self._loaded = False
        self._ticking = False
        self.spawn: Spawn | None = None
        """Starts a task of the process; None while there is none."""

    # -- what clients ask --------------------------------------------------------------------------------------------

    def create(self, request: GroupRequest) -> Steps[None]:
        """Make a group. Raises Failure."""
        self._check(request)
        if request.key in self._groups():
            raise group_exists(request.stream, request.group)
        self._check_batch(request)
        self._start(request)
        yield from self._save(_entry(request))

    def update(self, request: GroupRequest) -> Steps[None]:
        """Replace the settings of a group, and drop its consumers. Raises Failure."""
        before = self.get(request.stream, request.group)
        self._check(request)
        self._check_batch(request)
        before.drop()
        changed = request._replace(filter=before.request.filter)
        self._start(changed)
        yield from self._save(_entry(changed))

    def delete(self, stream: str, group: str) -> Steps[None]:
        """Delete a group, with its checkpoint and its parked events. Raises Failure."""
        running = self.get(stream, group)
        running.drop()
        del self._running[running.request.key]
        self._streams[stream] -= 1
        store = self._context.store
        for suffix in ("checkpoint", "parked"):
            name = f"$persistentsubscription-{running.request.key}-{suffix}"
            if store.last_number(name) >= 0:
                yield Delete(name, ANY)
        yield from self._save({_DELETED: running.request.key})

    def get(self, stream: str, group: str) -> RunningGroup:
        """A group. Raises Failure if there is none."""
        found = self._groups().get(f"{stream}::{group}")
        if found is None:
            raise group_missing(stream, group)
        return found

    def of_stream(self, stream: str) -> list[RunningGroup]:
        """The groups of a stream. Raises Failure if it never had one."""
        groups = self._groups()
        if stream not in self._streams:
            raise group_missing(stream, "")
        return [running for running in groups.values() if running.request.stream == stream]

    def all(self) -> list[RunningGroup]:
        """All groups, ordered by their streams."""
        return sorted(self._groups().values(), key=lambda running: running.request.stream)

    def restart(self) -> None:
        """Drop all consumers and begin anew from the checkpoints."""
        self.stop()
        self._groups()

    # -- the life of the groups --------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Drop all consumers; the groups begin anew when they are asked for."""
        running, self._running = self._running, {}
        self._streams.clear()
        self._loaded = False
        for group in running.values():
            group.drop()

    def _groups(self) -> dict[str, RunningGroup]:
        if not self._loaded:
            self._loaded = True
            for request in self._saved():
                self._start(request)
        return self._running

    def _start(self, request: GroupRequest) -> None:
        if request.key not in self._running:
            self._streams[request.stream] = self._streams.get(request.stream, 0) + 1
        self._running[request.key] = RunningGroup(self._context, request, self._start_task, self._want_ticks)

    def _start_task(self, *args: object) -> None:
        if self.spawn is not None:
            self.spawn(*args)

    def _want_ticks(self) -> None:
        if not self._ticking and self.spawn is not None:
            self._ticking = True
            self.spawn(self._tick)

    async def _tick(self) -> None:
        """Tell the groups of time, as long as one of them needs it."""
        while any(running.group.needs_ticks for running in self._running.values()):
            await trio.sleep(_TICK)
            for running in list(self._running.values()):
                running.tick()
        self._ticking = False

    # -- checks ------------------------------------------------------------------------------------------------------

    def _check(self, request: GroupRequest) -> None:
        stream, group, settings = request.stream, request.group, request.settings
        if not strategy_exists(settings.strategy):
            raise group_failed(stream, group, f"Consumer strategy {settings.strategy} does not exist.")
        if stream == ALL_STREAMS and request.start[0] > self._context.store.last_position:
            raise group_failed(stream, group, _BEYOND_END)

    def _check_batch(self, request: GroupRequest) -> None:
        if request.settings.read_batch_size >= request.settings.history_buffer_size:
            raise group_failed(request.stream, request.group, _BATCH_TOO_LARGE)

    # -- what is saved -----------------------------------------------------------------------------------------------

    def _save(self, change: dict[str, object]) -> Steps[None]:
        data = json.dumps(change, separators=(",", ":")).encode()
        yield Append(_CONFIG_STREAM, ANY, [Proposal(self._context.new_id(), _CONFIG_TYPE, data, b"", True)])

    def _saved(self) -> list[GroupRequest]:
        """The groups that there are after all changes, in the order in which they were made."""
        found: dict[str, GroupRequest] = {}
        start, is_end = 0, False
        while not is_end:
            try:
                page = self._context.store.read_stream(_CONFIG_STREAM, start, _PAGE, self._context.now())
            except StreamDeleted:
                return []
            for record in page.records:
                change = json.loads(record.data)
                if _DELETED in change:
                    found.pop(change[_DELETED], None)
                else:
                    request = _request(change)
                    found[request.key] = request
            start, is_end = page.next_number, page.is_end or page.outcome == "no_stream"
        return list(found.values())


def _entry(request: GroupRequest) -> dict[str, object]:
    chosen = request.filter
    return {
        "stream": request.stream,
        "group": request.group,
        "startPosition": list(request.start),
        "filter": None if chosen is None else [chosen.looks_at_type, chosen.regex, list(chosen.prefixes)],
        **asdict(request.settings),
    }


def _request(entry: dict[str, object]) -> GroupRequest:
    stream, group, start, chosen = (entry.pop(name) for name in ("stream", "group", "startPosition", "filter"))
    filter = None
    if chosen is not None:
        assert isinstance(chosen, list)
        filter = FilterText(chosen[0], chosen[1], tuple(chosen[2]))
    assert isinstance(stream, str)
    assert isinstance(group, str)
    assert isinstance(start, list)
    return GroupRequest(stream, group, GroupSettings(**entry), (start[0], start[1]), filter)  # type: ignore[arg-type]
