"""The embedded cluster does what real clusters were recorded to do."""

from __future__ import annotations

import pytest

from .runs import ACTIONS, OTHERS, run
from .situations import SITUATIONS, Begins, Shown
from .timelines import fact, names, recorded

SEEDS = range(3)


@pytest.mark.parametrize("name", names())
def test_the_recording_itself_lies_in_the_ranges(name: str) -> None:
    assert SITUATIONS[name].differences(recorded(name)) == []


@pytest.mark.parametrize(
    ("name", "rounds"), [("kill", "kill, rounds"), ("terminate, no call open", "terminate, rounds")]
)
def test_further_rounds_that_were_measured_lie_in_the_ranges(name: str, rounds: str) -> None:
    situation, _, kind = rounds.partition(", ")
    shown = [rule for rule in SITUATIONS[name].rules if isinstance(rule, Shown)]
    (dead,) = (rule for rule in shown if rule.subject == "old" and "Leader dead" in rule.states)
    (led,) = (rule for rule in shown if rule.subject == "new")
    (first, *_) = (rule for rule in SITUATIONS[name].rules if isinstance(rule, Begins) and rule.answer == "OK")
    for measured in fact(situation, kind):
        assert all(dead.low <= at <= dead.high for at in measured["old leader shown dead ms, per survivor"])
        assert all(led.low <= at <= led.high for at in measured["new leader shown ms, per survivor"])
        assert first.low <= measured["first append accepted ms"] <= first.high


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ACTIONS)
async def test_the_embedded_cluster_does_the_same(name: str, seed: int) -> None:
    situation, timeline = await run(name, seed)
    assert SITUATIONS[situation].differences(timeline) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", OTHERS)
async def test_nodes_start_join_and_end_as_recorded(name: str, seed: int) -> None:
    assert SITUATIONS[name].differences(await OTHERS[name](seed)) == []
