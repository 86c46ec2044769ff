"""The tree of tasks, as a text: what each task of a run waits for."""

from __future__ import annotations

import trio


def task_tree() -> str:
    """The tasks of the current run, each with the place where it waits."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return "\n".join(_lines(root, 1))


def _lines(task: trio.lowlevel.Task, depth: int) -> list[str]:
    lines = [f"{'    ' * depth}{task.name}{_place(task)}"]
    for nursery in task.child_nurseries:
        below = [_lines(child, depth + 1) for child in nursery.child_tasks]
        lines += (line for child in sorted(below) for line in child)
    return lines


def _place(task: trio.lowlevel.Task) -> str:
    """Where a task waits: the innermost place outside of trio."""
    place = ""
    for frame, line in task.iter_await_frames():
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(("trio.", "contextlib")):
            place = f", in {frame.f_code.co_qualname} ({frame.f_code.co_filename}:{line})"
    return place
