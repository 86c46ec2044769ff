"""Background tasks never change what a block raises."""

# ruff: noqa: PT012 - a block with tasks is more than a statement
from __future__ import annotations

import traceback
from dataclasses import dataclass

import pytest
import trio

from trio_esdb._nursery import background_tasks


async def fail(exc: BaseException) -> None:
    """A task that fails at once."""
    raise exc


async def fail_when_cancelled(exc: BaseException) -> None:
    """A task that fails when the block is left."""
    try:
        await trio.sleep_forever()
    finally:
        raise exc


async def test_tasks_end_with_the_block() -> None:
    ended = []

    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    async with background_tasks() as nursery:
        nursery.start_soon(task)
        nursery.start_soon(task)
        await trio.testing.wait_all_tasks_blocked()
    assert ended == [True, True]


async def test_a_block_that_does_nothing() -> None:
    async with background_tasks():
        pass


async def test_a_block_may_return() -> None:
    async def block() -> str:
        async with background_tasks() as nursery:
            nursery.start_soon(trio.sleep_forever)
            return "done"

    assert await block() == "done"


async def test_an_exception_of_the_block_is_bare_with_its_traceback() -> None:
    def deep_down() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(trio.sleep_forever)
            deep_down()
    exc = caught.value
    assert (exc.__cause__, exc.__context__, exc.__suppress_context__) == (None, None, False)
    assert traceback.extract_tb(exc.__traceback__)[-1].name == "deep_down"
    assert "background_tasks" not in [frame.name for frame in traceback.extract_tb(exc.__traceback__)]


async def test_an_exception_keeps_its_context() -> None:
    with pytest.raises(ValueError, match="mine") as caught:
        async with background_tasks():
            try:
                raise KeyError("before")
            except KeyError:
                raise ValueError("mine")  # noqa: B904
    exc = caught.value
    assert isinstance(exc.__context__, KeyError)
    assert (exc.__cause__, exc.__suppress_context__) == (None, False)
    assert "During handling of the above exception" in "".join(traceback.format_exception(exc))


async def test_an_exception_keeps_its_cause() -> None:
    cause = KeyError("before")
    with pytest.raises(ValueError, match="mine") as caught:
        async with background_tasks():
            raise ValueError("mine") from cause
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (cause, True)


async def test_an_exception_keeps_that_it_has_no_cause() -> None:
    with pytest.raises(ValueError, match="mine") as caught:
        async with background_tasks():
            try:
                raise KeyError("before")
            except KeyError:
                raise ValueError("mine") from None
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)
    assert isinstance(caught.value.__context__, KeyError)


@pytest.mark.parametrize(
    "exc",
    [StopAsyncIteration(), KeyboardInterrupt(), SystemExit(3), RuntimeError("r"), ExceptionGroup("g", [OSError()])],
)
async def test_every_kind_of_exception(exc: BaseException) -> None:
    with pytest.raises(type(exc)) as caught:
        async with background_tasks():
            raise exc
    assert caught.value is exc


async def test_a_group_that_the_block_raises_stays_as_it_is() -> None:
    class Mine(ExceptionGroup[Exception]):
        """Without ``derive``, taking it to pieces makes another class of it."""

    for group in (
        Mine("mine", [ValueError("a")]),
        Mine("mine", [ValueError("a"), Mine("more", [OSError(), OSError()])]),
    ):
        with pytest.raises(Mine) as caught:
            async with background_tasks() as nursery:
                nursery.start_soon(trio.sleep_forever)
                raise group
        assert caught.value is group


async def test_cancellation_passes() -> None:
    with trio.CancelScope() as scope:
        async with background_tasks() as nursery:
            nursery.start_soon(trio.sleep_forever)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_scope_around_a_task_and_one_around_all() -> None:
    with trio.CancelScope() as outer:
        async with background_tasks():
            with trio.CancelScope() as inner:
                inner.cancel()
                await trio.sleep_forever()
            assert inner.cancelled_caught
            outer.cancel()
            await trio.sleep_forever()
    assert outer.cancelled_caught


async def test_a_failure_in_the_background_is_bare() -> None:
    with pytest.raises(KeyError, match="background") as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(fail, KeyError("background"))
            await trio.sleep_forever()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "fail"


async def test_a_failure_in_the_background_while_the_block_is_left() -> None:
    with pytest.raises(KeyError, match="background"):
        async with background_tasks() as nursery:
            nursery.start_soon(fail_when_cancelled, KeyError("background"))
            await trio.testing.wait_all_tasks_blocked()


async def test_a_failure_in_the_background_while_all_is_cancelled() -> None:
    with pytest.raises(KeyError, match="background"):
        with trio.CancelScope() as scope:
            async with background_tasks() as nursery:
                nursery.start_soon(fail_when_cancelled, KeyError("background"))
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
                await trio.sleep_forever()


async def test_a_group_in_the_background_stays_as_it_is() -> None:
    group = ExceptionGroup("theirs", [ValueError("a"), ValueError("b")])
    with pytest.raises(ExceptionGroup, match="theirs") as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(fail, group)
            await trio.sleep_forever()
    assert caught.value.exceptions == group.exceptions


async def test_groups_on_both_sides() -> None:
    mine, theirs = ExceptionGroup("mine", [ValueError("a")]), ExceptionGroup("theirs", [KeyError("b"), OSError()])
    with pytest.raises(ExceptionGroup, match="mine") as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(fail_when_cancelled, theirs)
            await trio.testing.wait_all_tasks_blocked()
            raise mine
    assert caught.value is mine
    assert isinstance(mine.__context__, ExceptionGroup)
    assert mine.__context__.exceptions == theirs.exceptions


async def test_of_both_the_blocks_exception_comes_out() -> None:
    other = KeyError("background")
    with pytest.raises(ValueError, match="mine") as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(fail_when_cancelled, other)
            await trio.testing.wait_all_tasks_blocked()
            raise ValueError("mine")
    assert caught.value.__context__ is other
    assert not caught.value.__suppress_context__


async def test_of_both_the_other_comes_behind_the_contexts_that_are_there() -> None:
    other = KeyError("background")
    with pytest.raises(ValueError, match="mine") as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(fail, other)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("mine")
    context = caught.value.__context__
    assert isinstance(context, trio.Cancelled)
    assert context.__context__ is other


async def test_what_is_linked_already_is_not_linked_in_a_circle() -> None:
    mine, other = ValueError("mine"), KeyError("background")
    other.__context__ = mine
    with pytest.raises(ValueError, match="mine") as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(fail_when_cancelled, other)
            await trio.testing.wait_all_tasks_blocked()
            raise mine
    assert caught.value is mine
    assert mine.__context__ is other
    chain: list[BaseException | None] = [mine]
    while chain[-1] is not None:
        assert chain[-1].__context__ not in chain
        chain.append(chain[-1].__context__)


async def test_what_is_a_context_already_stays_where_it_is() -> None:
    mine, other = ValueError("mine"), KeyError("background")
    mine.__context__ = other
    with pytest.raises(ValueError, match="mine"):
        async with background_tasks() as nursery:
            nursery.start_soon(fail, other)
            raise mine
    assert mine.__context__ is other
    assert other.__context__ is None


async def test_a_circle_of_contexts_is_survived() -> None:
    mine, other = ValueError("mine"), KeyError("other")
    mine.__context__, other.__context__ = other, mine
    late = OSError("background")
    with pytest.raises(ValueError, match="mine"):
        async with background_tasks() as nursery:
            nursery.start_soon(fail_when_cancelled, late)
            await trio.testing.wait_all_tasks_blocked()
            raise mine


async def test_exceptions_that_call_each_other_equal() -> None:
    @dataclass(eq=True)
    class Equal(Exception):
        __hash__ = None  # type: ignore[assignment]

    mine, other = Equal(), Equal()
    with pytest.raises(Equal) as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(fail_when_cancelled, other)
            await trio.testing.wait_all_tasks_blocked()
            raise mine
    assert caught.value is mine
    assert mine.__context__ is other


async def test_several_failures_stay_a_group() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(fail_when_cancelled, KeyError("one"))
            nursery.start_soon(fail_when_cancelled, OSError("two"))
            await trio.testing.wait_all_tasks_blocked()
    assert caught.group_contains(KeyError, depth=1)
    assert caught.group_contains(OSError, depth=1)


async def test_several_failures_beside_the_blocks_stay_a_group() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(fail_when_cancelled, KeyError("one"))
            nursery.start_soon(fail_when_cancelled, OSError("two"))
            await trio.testing.wait_all_tasks_blocked()
            raise ValueError("mine")
    assert [type(exc) for exc in caught.value.exceptions].count(ValueError) == 1
    assert len(caught.value.exceptions) == 3


async def test_a_group_of_cancellations_is_a_cancellation() -> None:
    async def gather_cancellations() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as exc:
            raise BaseExceptionGroup("several tasks were cancelled", [exc]) from None

    with pytest.raises(ValueError, match="mine") as caught:
        with trio.CancelScope() as scope:
            async with background_tasks() as nursery:
                nursery.start_soon(gather_cancellations)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
                raise ValueError("mine")
    assert caught.value.__context__ is None


async def test_blocks_in_blocks() -> None:
    with pytest.raises(ValueError, match="mine") as caught:
        async with background_tasks() as outer:
            outer.start_soon(trio.sleep_forever)
            async with background_tasks() as inner:
                inner.start_soon(trio.sleep_forever)
                raise ValueError("mine")
    assert caught.value.__context__ is None


async def test_nothing_hides_an_interruption() -> None:
    """Ctrl-C may strike a background task, whose end then makes the block fail as well."""
    gone = trio.Event()

    async def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            gone.set()

    with pytest.raises(KeyboardInterrupt) as caught:
        async with background_tasks() as nursery:
            nursery.start_soon(interrupted)
            with trio.CancelScope(shield=True):
                await gone.wait()
            raise ValueError("mine")
    assert isinstance(caught.value.__context__, ValueError)


# A scope around the block


async def test_tasks_go_on_while_a_cancelled_block_cleans_up() -> None:
    seen: list[int] = []

    async def count() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            seen.append(len(seen))

    with trio.CancelScope() as scope:
        async with background_tasks() as tasks:
            tasks.start_soon(count)
            await trio.lowlevel.checkpoint()
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                before = len(seen)
                with trio.CancelScope(shield=True):
                    for _ in range(10):
                        await trio.lowlevel.checkpoint()
                assert len(seen) > before
    assert scope.cancelled_caught
    after = len(seen)
    await trio.testing.wait_all_tasks_blocked()
    assert len(seen) == after


async def test_a_task_that_was_started_goes_on_too() -> None:
    ended: list[str] = []

    async def serve(task_status: trio.TaskStatus[str]) -> None:
        task_status.started("ready")
        try:
            await trio.sleep_forever()
        finally:
            ended.append("task")

    with trio.CancelScope() as scope:
        async with background_tasks() as tasks:
            assert await tasks.start(serve) == "ready"
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.testing.wait_all_tasks_blocked()
                ended.append("block")
    assert ended == ["block", "task"]


async def test_waiting_for_a_start_can_be_cancelled() -> None:
    async with background_tasks() as tasks:
        with trio.CancelScope() as scope:
            scope.cancel()
            await tasks.start(lambda task_status: trio.sleep_forever())
    assert scope.cancelled_caught


async def test_a_task_that_starts_after_the_wait_for_it_was_cancelled_ends() -> None:
    async def serve(task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
        task_status.started()
        await trio.sleep_forever()

    async with background_tasks() as tasks:
        with trio.CancelScope() as scope:
            scope.cancel()
            await tasks.start(serve)
    assert scope.cancelled_caught


async def test_a_task_that_is_started_as_the_block_ends_ends_too() -> None:
    async with background_tasks() as tasks:

        async def start_another() -> None:
            try:
                await trio.sleep_forever()
            finally:
                tasks.start_soon(trio.sleep_forever)

        tasks.start_soon(start_another)
        await trio.testing.wait_all_tasks_blocked()


async def test_a_failing_task_cancels_the_block_although_others_are_shielded() -> None:
    with pytest.raises(ValueError, match="task"):
        async with background_tasks() as tasks:
            tasks.start_soon(trio.sleep_forever)
            tasks.start_soon(fail, ValueError("task"))
            await trio.sleep_forever()


async def test_the_scope_of_the_block() -> None:
    async with background_tasks() as tasks:
        tasks.start_soon(trio.sleep_forever)
        tasks.cancel_scope.cancel()
        await trio.sleep_forever()
