"""An event loop whose clock jumps to the next timer instead of waiting for it: an hour takes a millisecond."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START = 10_000.0
"""Where virtual time begins. Not zero, because code that takes 0.0 for "never" must not pass its tests."""


class _JumpingSelector(selectors.DefaultSelector):
    """Serves I/O that is ready, waits for threads that are at work, and jumps only when neither is there."""

    def __init__(self, patience: float) -> None:
        super().__init__()
        self.now = START
        self.patience = patience
        self.at_work: set[object] = set()
        self.given_up: set[object] = set()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        held = self.at_work if timeout is None else self.at_work - self.given_up
        if held and (events := self._wait_for_threads()):
            return events
        if timeout is None:
            raise RuntimeError("deadlock: no timer and no I/O left to wait for")
        self.now += max(timeout, 0.0)
        return []

    def _wait_for_threads(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time until something happens; threads silent for `patience` seconds no longer hold the clock."""
        give_up_at = time.monotonic() + self.patience
        while (left := give_up_at - time.monotonic()) > 0:
            if events := super().select(left):
                return events
        self.given_up |= self.at_work
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` moves only when nothing is left to run, and then straight to the next timer.

    Real I/O that is ready is served before the clock moves. While jobs of `run_in_executor` or blocks of `external` are
    under way the loop waits for them in real time. With no timer, no I/O and no such work left it raises RuntimeError
    ("deadlock: …"), so a hang is an error and not a stuck test.

    Peers in other processes, and threads the loop was not told of, are not waited for: wrap them in `external`.

    Args:
        patience: real seconds to wait for a silent worker thread; after that the clock moves without it. This is what
            lets a deadline run out over a thread that never returns.
    """

    def __init__(self, patience: float = 5.0) -> None:
        self._jumping = _JumpingSelector(patience)
        self._pool: Executor | None = None
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    @contextmanager
    def external(self) -> Iterator[None]:
        """Hold the clock while work goes on that the loop cannot see: a plain thread, another process.

        Enter and leave it in the loop's own thread.
        """
        work = object()
        self._jumping.at_work.add(work)
        try:
            yield
        finally:
            self._ended(work)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As in asyncio, and the clock stands still until the job has ended and its result has been delivered."""
        if self.is_closed():
            raise RuntimeError("cannot start a job: the event loop is closed")
        if executor is None:
            if self._pool is None:
                self.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
            executor = self._pool
            assert executor is not None
        work = object()
        self._jumping.at_work.add(work)
        try:
            job = executor.submit(func, *args)
        except BaseException:
            self._ended(work)
            raise
        result = asyncio.wrap_future(job, loop=self)
        # Added after wrap_future's own callback, so the result is in the loop's queue before the clock is let go.
        job.add_done_callback(lambda _: self._ended_in_thread(work))
        return result

    def set_default_executor(self, executor: ThreadPoolExecutor) -> None:  # type: ignore[override]
        super().set_default_executor(executor)
        self._pool = executor

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        with self.external():
            await super().shutdown_default_executor(*args, **kwargs)

    def _ended_in_thread(self, work: object) -> None:
        with suppress(RuntimeError):  # the loop was closed over a job that nobody waited for
            self.call_soon_threadsafe(self._ended, work)

    def _ended(self, work: object) -> None:
        self._jumping.at_work.discard(work)
        self._jumping.given_up.discard(work)


def run(coro: Coroutine[Any, Any, T], *, debug: bool | None = None, patience: float = 5.0) -> T:
    """`asyncio.run` in virtual time.

    Raises:
        RuntimeError: "deadlock: no timer and no I/O left to wait for".
    """
    with asyncio.Runner(debug=debug, loop_factory=lambda: VirtualTimeLoop(patience)) as runner:
        return runner.run(coro)
