"""Calls a connection as the supervisor does, and tells exactly how each call ended."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from connmgr.calls import CallThread
from connmgr.connection import BaseConnection, link_of
from connmgr.errors import describe
from connmgr.link import inside
from connmgr.states import ConnectionStatus
from connmgr.testing.cancel import CancelAt

T = TypeVar("T")
Connection = BaseConnection[Any]
Exercise = Callable[[Any], Awaitable[Any] | Any] | str | None

OBEYS_WITHIN = 1.0  # seconds a cancelled call gets to end
RETURNS_WITHIN = 15.0  # seconds a plain call gets to end, which nobody can cancel


class ContractViolation(AssertionError):
    """A connection broke a rule; the message says which promise, and how it showed."""


class LeftOut(Exception):
    """A rule has nothing to say about this connection; the message says why."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one call ended.

    Attributes:
        value: what it returned; None when it raised.
        error: what it raised, CancelledError included.
        cancelled: whether we had cancelled it.
    """

    value: Any
    error: BaseException | None
    cancelled: bool

    def __str__(self) -> str:
        return f"raised {describe(self.error)}" if self.error is not None else f"returned {self.value!r}"


class Driver:
    """Calls one connection in the order, the contexts and the threads that the supervisor uses.

    Attributes:
        losses: what the connection reported with `connection_lost` or a broken exchange.
        hit: whether the last call reached the suspension it was to be cancelled at.
    """

    def __init__(self, connection: Connection, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline
        self.losses: list[str] = []
        self._lost = asyncio.Event()
        self.hit = False
        self._link = link_of(connection)
        self._link.supervise(self)
        self._thread: CallThread | None = None

    def link_lost(self, reason: str) -> None:
        """As the supervisor hears it."""
        self.losses.append(reason)
        self._lost.set()

    async def hears_of_a_loss(self, within: float) -> bool:
        """Whether the connection reports that its line is gone, in this session."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._lost.wait()
        return bool(self.losses)

    def answered(self, round_trip: float) -> None:
        """Round trips are not judged here."""

    def outlook(self) -> str:
        """What a call on a dead link is told."""
        return "it is not connected"

    async def connect(self, *, deadline: float | None = None, cancel_at: int | None = None) -> Ended:
        """Begin a session."""
        self.losses.clear()
        self._lost.clear()
        self._link.begin_session()
        self._link.set_status(ConnectionStatus.CONNECTING)
        ended = await self._call(self.connection.connect, deadline=deadline, cancel_at=cancel_at)
        if ended.value is True:
            self._link.set_status(ConnectionStatus.CONNECTED)
        return ended

    async def disconnect(self) -> Ended:
        """End the session."""
        self._link.end_session()
        ended = await self._call(self.connection.disconnect)
        self._link.set_status(ConnectionStatus.DISCONNECTED)
        return ended

    async def health_check(self, *, deadline: float | None = None, cancel_at: int | None = None) -> Ended:
        """Ask for a sign of life."""
        self._link.checking = True
        try:
            return await self._call(self.connection.health_check, deadline=deadline, cancel_at=cancel_at)
        finally:
            self._link.checking = False

    async def exercise(
        self, exercise: Exercise, *, deadline: float | None = None, cancel_at: int | None = None
    ) -> Ended:
        """One exchange, asked for from outside as an application does."""
        if exercise is None:
            exercise = "health_check"
        function = (
            getattr(self.connection, exercise)
            if isinstance(exercise, str)
            else _bound_to(exercise, self.connection, blocking=not inspect.iscoroutinefunction(self.connection.connect))
        )
        return await self._call(function, from_outside=True, deadline=deadline, cancel_at=cancel_at)

    def close(self) -> None:
        """End the thread of plain methods."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    async def _call(
        self,
        function: Callable[[], Any],
        *,
        from_outside: bool = False,
        deadline: float | None = None,
        cancel_at: int | None = None,
    ) -> Ended:
        name = getattr(function, "__name__", "exercise")
        context = copy_context()
        if not from_outside:
            context.run(inside.set, (self._link, self._link.session))
        if not inspect.iscoroutinefunction(function):
            return await self._call_plain(name, lambda: context.run(function))
        breaker = CancelAt(function(), -1 if cancel_at is None else cancel_at)
        task = asyncio.create_task(
            _awaited(breaker), name=f"connmgr[{self.connection.connection_id}].{name}", context=context
        )
        await asyncio.wait({task}, timeout=self.deadline if deadline is None else deadline)
        cancelled = not task.done()
        if cancelled:
            task.cancel()
            await asyncio.wait({task}, timeout=OBEYS_WITHIN)
        if not task.done():
            raise ContractViolation(
                f"{name}() does not end when it is cancelled: {OBEYS_WITHIN:g} s later it still runs"
            )
        self.hit = breaker.hit
        return _ended(task, cancelled=cancelled or breaker.hit)

    async def _call_plain(self, name: str, function: Callable[[], Any]) -> Ended:
        if self._thread is None:
            self._thread = CallThread(f"contract[{self.connection.connection_id}]")
        future = asyncio.get_running_loop().run_in_executor(self._thread, function)
        await asyncio.wait({future}, timeout=RETURNS_WITHIN)
        if not future.done():
            raise ContractViolation(
                f"{name}() is a plain method and has not returned after {RETURNS_WITHIN:g} s: give its socket a timeout"
            )
        return _ended(future, cancelled=False)


def _bound_to(exercise: Callable[[Any], Any], connection: Connection, *, blocking: bool) -> Callable[[], Any]:
    if blocking and not inspect.iscoroutinefunction(exercise):
        return lambda: exercise(connection)

    async def run() -> Any:  # noqa: ANN401 - whatever the exercise answers
        answer = exercise(connection)
        return await answer if inspect.isawaitable(answer) else answer

    return run


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _ended(done: asyncio.Future[Any], *, cancelled: bool) -> Ended:
    if done.cancelled():
        return Ended(None, asyncio.CancelledError(), cancelled)
    error = done.exception()
    return Ended(None if error else done.result(), error, cancelled)
