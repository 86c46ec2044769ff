"""A leader that has lost the others counts what it wrote when it checks positions, and readers do not see it yet."""

from __future__ import annotations

import pytest
import trio

from trio_esdb import DeadlineExceededError, ESDBClient, ExpectedPositionError
from trio_esdb.testing import EmbeddedCluster


@pytest.mark.parametrize("is_cut", [False, True])
async def test_metadata_that_is_set_again_by_another_call(is_cut: bool) -> None:
    """The second call has an event of its own, so it is refused; only later it is known what became of the first."""
    async with EmbeddedCluster() as cluster, ESDBClient(cluster.uri, connect=cluster.network.connect) as client:
        old = cluster.leader
        assert old is not None
        cluster.partition(old)
        with pytest.raises(DeadlineExceededError) as unknown:
            await client.set_stream_metadata("s", {"owner": "Ann"}, None, timeout=1)
        assert unknown.value.applied is None
        with pytest.raises(ExpectedPositionError) as refused:
            await client.set_stream_metadata("s", {"owner": "Bob"}, None, timeout=1)
        assert (refused.value.actual, refused.value.applied) == (0, False)
        assert await client.get_stream_metadata("s") == ({}, None)
        if is_cut:
            await trio.sleep(8)
            assert (await client.set_stream_metadata("s", {"owner": "Bob"}, None)).stream_position == 0
        cluster.heal()
        if is_cut:
            await old.stopped()
            old.restart()
        await cluster.settled()
        assert await client.get_stream_metadata("s") == ({"owner": "Bob" if is_cut else "Ann"}, 0)
