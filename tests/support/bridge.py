"""kurrentdbclient's asyncio client with the interface of its blocking client, so that each test is written once."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Self

Run = Callable[[Awaitable[Any]], Any]


class Bridged:
    """A client, a read or a subscription whose coroutines are run to their end when they are called."""

    def __init__(self, run: Run, inner: Any) -> None:
        self._run = run
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not inspect.ismethod(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            async def in_the_loop() -> Any:
                result = found(*args, **kwargs)
                return await result if inspect.isawaitable(result) else result

            result = self._run(in_the_loop())
            return Bridged(self._run, result) if hasattr(result, "__anext__") else result

        return call

    def __enter__(self) -> Self:
        self._run(self._inner.__aenter__())
        return self

    def __exit__(self, *exc: object) -> None:
        self._run(self._inner.__aexit__(*exc))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return self._run(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None
