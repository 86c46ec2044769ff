"""Makes public names look public.

A class is written in a private module and imported into a public one. Without more, tracebacks, ``repr`` and ``help``
would name the private module, and a ``TypeError`` the private base class that has the method. ``publish`` gives classes
and their methods the names under which users know them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from types import FunctionType
from typing import get_type_hints


def publish(module: str, names: Sequence[str]) -> None:
    """Let the classes and functions with these names, in this public module, say that they live there.

    The public methods that they have from private classes become their own.
    """
    namespace = vars(sys.modules[module])
    public = [value for name in names if isinstance(value := namespace[name], type)]
    for function in (value for name in names if isinstance(value := namespace[name], FunctionType)):
        function.__module__ = module
    private = {base: cls for cls in public for base in cls.__mro__ if _is_private(base) and base not in public}
    for base in (*private, *public):
        for part in reversed(base.__mro__):
            if _is_private(part):
                _move(part, module)
    for cls in public:
        _claim(cls, cls)
    for base, cls in private.items():
        _claim(base, cls)


def _is_private(cls: type) -> bool:
    return cls.__module__.startswith("trio_esdb.") and "._" in cls.__module__


def _move(cls: type, module: str) -> None:
    """Name the public module as the class's, after looking up its annotations, which are texts, in the private one."""
    own = vars(cls).get("__annotations__")
    if own:
        hints = get_type_hints(cls)
        own.update((name, hints[name]) for name in own)
        for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
            field.type = hints[field.name]
    cls.__module__ = module


def _claim(base: type, cls: type) -> None:
    """Let the methods that a class has from ``base`` say that they are the class's own."""
    for name, member in list(vars(base).items()):
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not isinstance(function, FunctionType) or not function.__module__.startswith("trio_esdb."):
            continue
        function.__module__ = cls.__module__
        function.__qualname__ = f"{cls.__qualname__}.{function.__name__}"
        if base is not cls and not name.startswith("_") and name not in vars(cls):
            setattr(cls, name, member)
