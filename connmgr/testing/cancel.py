"""Cancel a coroutine at its n-th suspension, for every n: the only way to see every half-way state."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CancelAt(Generic[T]):
    """Awaiting this runs `coro` and cancels the task that awaits it when `coro` suspends for the n-th time.

    Count n up from 0 with a fresh coroutine each time until `hit` stays False: then every point has been tried.

    Attributes:
        hit: whether there was an n-th suspension.
    """

    def __init__(self, coro: Coroutine[Any, Any, T], n: int) -> None:
        self._coro = coro
        self._n = n
        self.hit = False

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._coro.__await__()
        thrown: BaseException | None = None
        for count in itertools.count():
            try:
                waiting_for = next(steps) if thrown is None else steps.throw(thrown)
            except StopIteration as finished:
                result: T = finished.value
                return result
            if count == self._n:
                self.hit = True
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            thrown = None
            try:
                yield waiting_for
            except BaseException as error:  # noqa: BLE001 - whatever arrives belongs to the coroutine
                thrown = error
        raise AssertionError("unreachable")
