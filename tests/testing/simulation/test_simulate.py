"""`simulate`: what it makes of a test, which seeds it runs, and how each run goes."""

from __future__ import annotations

import inspect
import os
import random
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio._core._run as trio_run

from trio_esdb import ESDBError, InvalidArgumentError, NewEvent, StreamState
from trio_esdb.testing import Close, HangError, Hold, Kill, NotDeterministicError, Refuse, Reset, World, simulate

T = TypeVar("T")


def seeds_run(decorate: Callable[[Callable[..., Awaitable[object]]], Callable[..., None]]) -> list[int]:
    """The seeds that a test is run with, until it ends."""
    seen: list[int] = []

    async def test(world: World) -> None:
        seen.append(world.seed)

    decorate(test)()
    return seen


# -- what it makes -----------------------------------------------------------------------------------------------------


def test_it_makes_a_plain_function_with_the_other_parameters() -> None:
    @simulate(seeds=1, nodes=1)
    async def test_something(first: int, world: World, *, last: str = "z") -> None:
        """What it is about."""

    assert not inspect.iscoroutinefunction(test_something)
    assert list(inspect.signature(test_something).parameters) == ["first", "last"]
    assert (test_something.__name__, test_something.__doc__) == ("test_something", "What it is about.")


def test_arguments_reach_the_test_by_name_and_by_place() -> None:
    seen: list[object] = []

    class Tests:
        @simulate(seeds=1, nodes=1)
        async def test(self, first: int, world: World, *, second: str) -> None:
            seen.append((type(self), first, type(world), second))

    Tests().test(1, second="b")  # type: ignore[call-arg]
    Tests().test(first=2, second="c")  # type: ignore[call-arg]
    assert seen == [(Tests, 1, World, "b"), (Tests, 2, World, "c")]
    with pytest.raises(TypeError, match="missing a required argument: 'first'"):
        Tests().test()


def test_what_cannot_be_decorated() -> None:
    def plain(world: World) -> None: ...

    async def without(other: object) -> None: ...

    with pytest.raises(InvalidArgumentError, match=r"decorates an async function, not <function .*plain"):
        simulate()(plain)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"without has no parameter `world`"):
        simulate()(without)
    with pytest.raises(InvalidArgumentError, match="with parentheses"):
        simulate(without)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"seeds": 0}, "seeds= of simulate must be a whole number from 1 on, not 0"),
        ({"seeds": True}, "seeds="),
        ({"nodes": 0}, "nodes= of simulate must be a whole number from 1 on, not 0"),
        ({"seed": -1}, "seed= of simulate must be a whole number from 0 on, not -1"),
        ({"settle": 0}, "settle= of simulate must be seconds above 0, not 0"),
        ({"duration": float("inf")}, "duration= of simulate must be seconds above 0, not inf"),
        ({"schedule": [3]}, r"schedule= of simulate takes faults such as Kill\(at=1.5, node=1\), not 3"),
        ({"schedule": Kill()}, r"schedule= of simulate takes a list of faults, not Kill\(at=0.0, node=1\)"),
        ({"schedule": [Kill(node=2)], "nodes": 1}, r"Kill\(at=0.0, node=2\) names node 2, and there is 1"),
        ({"schedule": [Kill(node=4)]}, r"Kill\(at=0.0, node=4\) names node 4, and there are 3"),
        ({"read_only_replicas": -1}, "read_only_replicas= of simulate must be a whole number from 0 on, not -1"),
        ({"tls": None}, "tls= of simulate must be True or False, not None"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        simulate(**arguments)


# -- seeds -------------------------------------------------------------------------------------------------------------


def test_which_seeds_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seeds_run(simulate(seeds=3, nodes=1)) == [0, 1, 2]
    assert seeds_run(simulate(seed=7, nodes=1)) == [7]
    assert seeds_run(simulate(schedule=[], nodes=1)) == [0]
    assert seeds_run(simulate(schedule=[], seed=9, nodes=1)) == [9]
    monkeypatch.setenv("TRIO_ESDB_SEEDS", "2")
    assert seeds_run(simulate(seeds=3, nodes=1)) == [0, 1]
    assert seeds_run(simulate(seed=7, nodes=1)) == [7]
    monkeypatch.setenv("TRIO_ESDB_SEED", "5")
    assert seeds_run(simulate(seeds=3, nodes=1)) == [5]
    assert seeds_run(simulate(schedule=[], nodes=1)) == [5]


@pytest.mark.parametrize("name", ["TRIO_ESDB_SEED", "TRIO_ESDB_SEEDS"])
@pytest.mark.parametrize("text", ["-1", "nine", "1.5", "²"])
def test_bad_seeds_in_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(InvalidArgumentError, match=f"{name} must be a whole number from [01] on, not '{text}'"):
        seeds_run(simulate())


def test_a_seed_that_failed_is_the_first_the_next_time(fresh_folder: Path) -> None:
    seen: list[int] = []
    broken = True

    @simulate(seeds=5, nodes=1)
    async def test(world: World) -> None:
        seen.append(world.seed)
        assert world.seed < 3 or not broken

    for expected in ([0, 1, 2, 3], [3]):
        with pytest.raises(AssertionError):
            test()
        assert list(dict.fromkeys(seen)) == expected
        seen.clear()
    broken = False
    test()
    assert seen == [3, 0, 1, 2, 4]
    seen.clear()
    test()
    assert seen == [0, 1, 2, 3, 4]
    assert [path.name for path in fresh_folder.iterdir()] == [".trio_esdb"]
    assert (fresh_folder / ".trio_esdb" / ".gitignore").read_text() == "*\n"


def test_where_nothing_can_be_kept_nothing_is(fresh_folder: Path) -> None:
    (fresh_folder / ".trio_esdb").write_text("a file where the folder would be")

    @simulate(seeds=5, nodes=1)
    async def test(world: World) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        test()


def test_what_is_kept_may_be_anything(fresh_folder: Path) -> None:
    @simulate(seeds=2, nodes=1)
    async def test(world: World) -> None:
        seen.append(world.seed)
        assert world.seed

    seen: list[int] = []
    with pytest.raises(AssertionError):
        test()
    (kept,) = (fresh_folder / ".trio_esdb" / "failing-seeds").iterdir()
    for content in (b"\xff\xfe", b"x 1 1 -3\n"):
        kept.write_bytes(content)
        seen.clear()
        with pytest.raises(AssertionError):
            test()
    assert seen[0] == 1


# -- a run -------------------------------------------------------------------------------------------------------------


def test_everything_is_restored() -> None:
    def look() -> tuple[object, ...]:
        return (
            trio_run._ALLOW_DETERMINISTIC_SCHEDULING,
            trio_run._r.getstate(),
            random.getstate(),
            os.urandom,
        )

    @simulate(seeds=2, nodes=1)
    async def test(world: World) -> None:
        assert trio_run._ALLOW_DETERMINISTIC_SCHEDULING
        random.random()
        raise ValueError("no")

    before = look()
    with pytest.raises(ValueError, match="no"):
        test()
    assert look() == before


def test_it_cannot_run_inside_of_trio() -> None:
    @simulate(seeds=2, nodes=1)
    async def test(world: World) -> None: ...

    async def main() -> None:
        test()

    with pytest.raises(RuntimeError, match="call it as a plain function"):
        trio.run(main)


def in_a_thread(function: Callable[[], T]) -> T:
    """Call it in another thread, while this one waits: else the clock would jump meanwhile."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(function).result()


def test_it_cannot_run_in_two_threads_at_once() -> None:
    @simulate(seeds=1, nodes=1)
    async def inner(world: World) -> None: ...

    @simulate(seeds=1, nodes=1)
    async def outer(world: World) -> None:
        with pytest.raises(RuntimeError, match="one thread at a time"):
            in_a_thread(inner)

    outer()


def test_other_threads_have_real_chance() -> None:
    found: list[tuple[uuid.UUID, uuid.UUID]] = []

    @simulate(seeds=1, nodes=1)
    async def test(world: World) -> None:
        found.append((uuid.uuid4(), in_a_thread(uuid.uuid4)))

    test()
    test()
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


def test_a_trio_that_cannot_be_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trio_run, "_r")
    with pytest.raises(RuntimeError, match=r"the order of tasks in trio [\d.]+ cannot be seeded"):
        seeds_run(simulate())


def test_chance_and_ids_are_those_of_the_seed() -> None:
    seen: dict[int, list[object]] = {}

    @simulate(seeds=2, nodes=1)
    async def test(world: World) -> None:
        now = [world.random.random(), world.new_id(), next(world.ids), uuid.uuid4(), NewEvent("T", b"").id]
        now += [random.random(), world.schedule]
        assert seen.setdefault(world.seed, now) == now

    test()
    test()
    assert len({*map(str, seen[0]), *map(str, seen[1])}) == 14


def test_faults_come_until_the_test_says_that_it_needs_no_more() -> None:
    @simulate(schedule=[Kill(at=1, lasts=2), Kill(at=5)], nodes=1, settle=3)
    async def test(world: World) -> None:
        (node,) = world.cluster.nodes
        seen = []
        for time in (0.5, 1.5, 2.5, 3.5, 5.5):
            await trio.sleep(time - world.now)
            seen.append(node.is_running)
        assert seen == [True, False, False, True, False]
        await world.healed()
        assert node.is_running
        await world.healed()
        async with world.client() as client:
            assert await client.get_commit_position() >= 0

    test()
    assert str(test.figures).startswith("schedules: 1, faults: 2, simulated hours: 0.00, real seconds: ")  # type: ignore[attr-defined]


def test_faults_end_by_themselves_after_the_duration() -> None:
    @simulate(schedule=[Refuse(at=1), Kill(at=100)], nodes=1, duration=10)
    async def test(world: World) -> None:
        await trio.sleep(2)
        with pytest.raises(ESDBError, match="refused"):
            async with world.client():
                pass
        await trio.sleep(20)
        async with world.client():
            pass

    test()


def test_what_has_not_ended_after_healing_is_a_failure() -> None:
    async def forever(event: trio.Event) -> None:
        await event.wait()

    @simulate(schedule=[Reset(at=1)], nodes=1, settle=20, duration=5)
    async def test(world: World) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(forever, trio.Event(), name="the one who waits")
            await world.healed()

    with pytest.raises(HangError) as caught:
        test()
    text = str(caught.value)
    assert text.startswith("hangs after healing: 20 seconds later the test has not ended; the tasks are\n")
    assert "the one who waits, in test_what_has_not_ended_after_healing_is_a_failure.<locals>.forever (" in text
    assert "@simulate(schedule=[], seed=0, nodes=1, duration=5, settle=20)" in caught.value.__notes__[0]


def test_a_test_that_raises_when_it_is_ended_hangs_all_the_same() -> None:
    @simulate(schedule=[], nodes=1, settle=20, duration=5)
    async def test(world: World) -> None:
        try:
            await trio.sleep(1000)
        finally:
            raise ValueError("no")

    with pytest.raises(HangError) as caught:
        test()
    assert isinstance(caught.value.__cause__, ValueError)


def test_faults_of_the_test_itself() -> None:
    @simulate(schedule=[], nodes=1)
    async def test(world: World) -> None:
        world.at(1, Close())
        async with world.client() as client:
            await trio.sleep(0.9)
            assert world.network.connections[0].is_open
            await trio.sleep(0.2)
            assert not world.network.connections[0].is_open
            with pytest.raises(InvalidArgumentError, match=r"from 1.1\d* seconds on, not at 1"):
                world.at(1, Close())
            with pytest.raises(InvalidArgumentError, match="a time and a fault"):
                world.at(2, "Close")  # type: ignore[arg-type]
            with pytest.raises(InvalidArgumentError, match="names node 2"):
                world.at(2, Close(node=2))
            await world.healed()
            with pytest.raises(InvalidArgumentError, match="no faults any more"):
                world.at(50, Close())
            await client.get_commit_position()

    test()


def test_a_client_is_on_the_network_of_its_world() -> None:
    @simulate(schedule=[], nodes=1)
    async def test(world: World) -> None:
        for name in ("connect", "random"):
            with pytest.raises(InvalidArgumentError, match=f"{name}= of a client of a simulation"):
                world.client(**{name: None})
        async with world.client(connection_name="n") as client, world.client(uri=world.cluster.uri):
            await client.append_event("s", StreamState.ANY, NewEvent("T", b""))
        assert {entry.connection.split()[0] for entry in world.trace} >= {"client-1#1", "client-2#2"}

    test()


def test_skipping_and_interrupts_are_no_failures() -> None:
    runs = 0

    @simulate(seeds=3, nodes=1)
    async def skips(world: World) -> None:
        nonlocal runs
        runs += 1
        async with world.client():
            pytest.skip("not here")

    @simulate(seeds=3, nodes=1)
    async def is_interrupted(world: World) -> None:
        nonlocal runs
        runs += 1
        raise KeyboardInterrupt

    with pytest.raises(pytest.skip.Exception):
        skips()
    with pytest.raises(KeyboardInterrupt):
        is_interrupted()
    assert runs == 2


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_failure_is_cut_down_and_told_as_code() -> None:
    @simulate(schedule=[Reset(at=number / 4) for number in range(20)] + [Hold(at=2.2, lasts=0.7)], nodes=1, seed=9)
    async def test(world: World) -> None:
        await trio.sleep(3)
        kinds = [entry.kind for entry in world.trace]
        assert "Reset(at=1.25, node=None)" not in kinds or "Reset(at=2.0, node=None)" not in kinds, kinds

    with pytest.raises(AssertionError) as caught:
        test()
    (note,) = caught.value.__notes__
    assert note.startswith("simulate: seed 9 failed, twice in the same way; its 21 faults were cut down to 2 in ")
    assert "python 3." in note
    assert "trio_esdb" in note
    code = "    @simulate(schedule=[Reset(at=1.25, node=None), Reset(at=2.0, node=None)], seed=9, nodes=1)\n"
    assert f"    from trio_esdb.testing import Reset, simulate\n\n{code}" in note
    assert "Hold" not in str(caught.value)  # what is raised is what the smallest schedule raised


def test_pytests_own_failures_are_failures() -> None:
    @simulate(seeds=3, nodes=1)
    async def test(world: World) -> None:
        async with world.client():
            pytest.fail("so it is")

    with pytest.raises(pytest.fail.Exception, match="so it is") as caught:
        test()
    assert "@simulate(schedule=[], seed=0, nodes=1)" in caught.value.__notes__[0]


def test_a_failure_of_another_kind_is_not_the_same() -> None:
    @simulate(schedule=[Reset(at=1), Reset(at=2)], nodes=1)
    async def test(world: World) -> None:
        await trio.sleep(3)
        count = sum(entry.kind.startswith("Reset") for entry in world.trace)
        if count == 1:
            raise ValueError("another one")
        assert count == 0, count

    with pytest.raises(AssertionError) as caught:
        test()
    assert "[Reset(at=1, node=None), Reset(at=2, node=None)]" in caught.value.__notes__[0]


def test_a_program_that_is_not_deterministic() -> None:
    runs = 0

    @simulate(schedule=[], nodes=1)
    async def test(world: World) -> None:
        nonlocal runs
        runs += 1
        async with world.client() as client:
            await client.append_event("s", StreamState.ANY, NewEvent("T", b"1" * runs))
            raise ValueError("no")

    with pytest.raises(NotDeterministicError) as caught:
        test()
    text = str(caught.value)
    assert "seed 0 failed with ValueError('no'), and a second run was not the same" in text
    assert "not deterministic, first difference at t=0." in text
    assert "client-1#1 node1.example:2113 > DATA 1 " in text
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_program_that_ends_differently_with_the_same_trace() -> None:
    runs = 0

    @simulate(schedule=[], nodes=1)
    async def test(world: World) -> None:
        nonlocal runs
        runs += 1
        assert runs > 1

    with pytest.raises(NotDeterministicError, match="the trace is the same, but not what came of it: None"):
        test()
