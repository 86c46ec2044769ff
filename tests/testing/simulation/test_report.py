"""What is told of a simulated test that failed: its kind, by which schedules are cut down, and its schedule as code."""

from __future__ import annotations

import pytest

from trio_esdb.testing import Kill, Partition, simulate
from trio_esdb.testing._simulation._report import as_code, kind_of


def failing(number: int) -> Exception:
    try:
        if number:
            raise ValueError(number)
        raise KeyError(number)
    except (ValueError, KeyError) as exc:
        return exc


def test_the_kind_of_a_failure_is_where_it_came_from_and_no_value() -> None:
    kind = kind_of(failing(1), __file__)
    assert kind == kind_of(failing(2), __file__)
    assert kind != kind_of(failing(0), __file__)
    assert kind_of(failing(1), "elsewhere.py") != kind


def test_the_kind_of_a_group_is_that_of_its_exceptions() -> None:
    group = ExceptionGroup("", [failing(1), ExceptionGroup("", [failing(0), failing(2)])])
    assert kind_of(group, __file__) == kind_of(failing(1), __file__) | kind_of(failing(0), __file__)


@pytest.mark.parametrize("number", [1, 8], ids=["short", "long"])
def test_the_code_makes_the_same_schedule(number: int) -> None:
    schedule = [Kill(at=float(n), node=1) for n in range(number)] + [Partition(at=9.5, nodes=(1, 2), lasts=1.0)]
    code = as_code(schedule, 9, {"settle": 60.0})
    names: dict[str, object] = {}

    def keep(**given: object) -> None:
        names.update(given)

    imports, _, call = code.partition("\n\n")
    exec(imports, {})
    exec(call.removeprefix("@"), {"simulate": keep, "Kill": Kill, "Partition": Partition})
    assert names == {"schedule": schedule, "seed": 9, "settle": 60.0}
    assert callable(simulate)
