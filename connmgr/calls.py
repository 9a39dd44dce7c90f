"""The one place through which connmgr calls a plugin.

Whatever a plugin does inside a call stays inside: every exception, `SystemExit` included, becomes an `Outcome`; a call
that does not end is cancelled, then left behind, and what it says later is thrown away. At most one call of a
connection is under way; while one that was left behind still runs, nothing else of that connection is called.

A plugin host in a process of its own would take this module's place and nothing else's.
"""

import asyncio
import inspect
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from connmgr.alarm import Alarm
from connmgr.connection import BaseConnection, link_of
from connmgr.errors import REASON_LIMIT, ContractError, Failure, Kind, judge
from connmgr.link import Told, inside

LAST_DISCONNECT = 5.0  # seconds for a disconnect() whose owner has gone already
CANCEL_GRACE = 0.5  # seconds a cancelled call has to end, before it is left behind


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: `failure` is None when it answered True. `duration` in seconds."""

    failure: Failure | None
    duration: float


class Call:
    """One call of a plugin's method, from start to its outcome."""

    __slots__ = ("_future", "_task", "cancelled", "method", "on_done", "outcome", "started")

    def __init__(self, method: str, started: float, on_done: Callable[[], None]) -> None:
        self.method = method
        self.started = started
        self.on_done = on_done
        self.cancelled = False
        self.outcome: Outcome | None = None
        self._task: asyncio.Task[Outcome] | None = None
        self._future: asyncio.Future[Outcome] | None = None

    @property
    def done(self) -> bool:
        """Whether the plugin has returned."""
        return self.outcome is not None

    @property
    def is_async(self) -> bool:
        """Whether it runs in the event loop, and not in a thread."""
        return self._task is not None

    def cancel(self) -> None:
        """Ask it to end. A plain method cannot be asked: it goes on in its thread."""
        self.cancelled = True
        if self._task is not None:
            self._task.cancel()


class PluginCalls:
    """Calls one connection's four methods, one at a time."""

    __slots__ = ("_connection", "_current", "_link", "_loop", "_thread")

    def __init__(self, connection: BaseConnection[Any]) -> None:
        self._connection = connection
        self._link = link_of(connection)
        self._loop = asyncio.get_running_loop()
        self._current: Call | None = None
        self._thread: CallThread | None = None

    @property
    def stuck(self) -> Call | None:
        """The call that was cancelled and has not returned yet, or None."""
        call = self._current
        return call if call is not None and call.cancelled and not call.done else None

    @property
    def can_be_cancelled(self) -> bool:
        """Whether the call under way would notice."""
        return self._current is not None and self._current.is_async

    def start(self, method: str, on_done: Callable[[], None]) -> Call:
        """Begin a call; `on_done` is called in the loop when it has an outcome."""
        if self._current is not None and not self._current.done:
            raise RuntimeError(f"{method}() while {self._current.method}() is under way")
        call = self._current = Call(method, self._link.stopwatch(), on_done)
        try:
            function = getattr(self._connection, method)
        except BaseException as error:  # noqa: BLE001 - a property or __getattribute__ of the plugin's
            call.outcome = self._failed(call, error)
            return call
        if inspect.iscoroutinefunction(function):
            call._task = self._loop.create_task(  # noqa: SLF001 - Call is this module's own record
                self._run(call, function), name=f"connmgr[{self._link.name}].{method}"
            )
            call._task.add_done_callback(lambda task: self._settle(call, task))  # noqa: SLF001
        else:
            try:
                self._thread = self._thread or CallThread(f"connmgr[{self._link.name}]")
            except RuntimeError as error:  # the system has no thread left: that passes
                call.outcome = Outcome(Failure(Kind.TRANSIENT, f"cannot call {method}(): {error}", "plugin"), 0.0)
                return call
            context = copy_context()
            call._future = self._loop.run_in_executor(  # noqa: SLF001
                self._thread, context.run, self._run_plain, call, function
            )
            call._future.add_done_callback(lambda future: self._settle(call, future))  # noqa: SLF001
        return call

    async def call(
        self, method: str, timeout: float, alarm: Alarm, is_interrupted: Callable[[], bool] | None
    ) -> Outcome | None:
        """Call, for `timeout` seconds at most and until `is_interrupted` says so; then cancel and leave it behind.

        Args:
            alarm: the owner's; whoever wants to interrupt rings it.

        Returns:
            How it ended; None when it was interrupted.
        """
        call = self.start(method, alarm.ring)
        deadline = self._loop.time() + timeout
        while not call.done and self._loop.time() < deadline and not (is_interrupted is not None and is_interrupted()):
            await alarm.sleep(deadline)
        if call.outcome is not None:
            return call.outcome
        timed_out = self._loop.time() >= deadline
        await self._cut_off(call, alarm)
        if not timed_out:
            return None
        reason = f"{method}() did not end within {timeout:g} s"
        return Outcome(Failure(Kind.TRANSIENT, reason, "deadline"), timeout)

    async def finish(self, timeout: float, alarm: Alarm) -> None:
        """End what an owner that was cancelled has left under way: `disconnect()` gets its time, anything else is cut.

        Args:
            timeout: seconds that `disconnect()` may still take.
        """
        call = self._current
        if call is None or call.done or call.cancelled:
            return
        if call.method == "disconnect":
            deadline = self._loop.time() + timeout
            while not call.done and self._loop.time() < deadline:
                await alarm.sleep(deadline)
        await self._cut_off(call, alarm)

    async def _cut_off(self, call: Call, alarm: Alarm) -> None:
        """Cancel a call and give it a moment to end."""
        if call.done:
            return
        call.cancel()
        last = self._loop.time() + CANCEL_GRACE
        while not call.done and self._loop.time() < last:
            await alarm.sleep(last)

    def leave(self, *, owes_disconnect: bool) -> None:
        """The owner goes. Should a call that is stuck return one day, its `disconnect()` is still made."""
        call = self._current
        if owes_disconnect and call is not None and not call.done:
            call.cancel()
            call.on_done = self._disconnect_at_last
            return
        if call is not None and not call.done:  # a disconnect() whose owner was cancelled once more
            self._end_in_time(call)
        self.release()

    def _disconnect_at_last(self) -> None:
        self._end_in_time(self.start("disconnect", self.release))

    def _end_in_time(self, call: Call) -> None:
        self._loop.call_later(LAST_DISCONNECT, lambda: None if call.done else call.cancel())

    def release(self) -> None:
        """End the thread that plain methods ran in; the next call makes a new one."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _run(self, call: Call, function: Callable[[], Any]) -> Outcome:
        inside.set((self._link, self._link.session))
        try:
            return self._answered(call, await function())
        except BaseException as error:  # noqa: BLE001 - the very purpose of this module
            return self._failed(call, error)

    def _run_plain(self, call: Call, function: Callable[[], Any]) -> Outcome:
        inside.set((self._link, self._link.session))
        try:
            return self._answered(call, function())
        except BaseException as error:  # noqa: BLE001 - as above
            return self._failed(call, error)

    def _answered(self, call: Call, value: object) -> Outcome:
        duration = self._link.stopwatch() - call.started
        if value is True:
            return Outcome(None, duration)
        if value is False:
            reason = self._connection.last_error
            silent = not reason or isinstance(reason, Told)
            why = f"{call.method}() returned False without saying why" if silent else str(reason)[:REASON_LIMIT]
            return Outcome(Failure(Kind.TRANSIENT, why, "device"), duration)
        shown = "None" if value is None else f"an object of type {type(value).__name__}"
        wrong = f"{call.method}() returned {shown} where True or False was promised"
        if inspect.iscoroutine(value):
            value.close()
            wrong += "; a decorator hides that it is async: make its wrapper an async function too"
        return self._failed(call, ContractError(wrong))

    def _failed(self, call: Call, error: BaseException) -> Outcome:
        duration = self._link.stopwatch() - call.started
        if isinstance(error, asyncio.CancelledError) and call.cancelled:
            return Outcome(Failure(Kind.TRANSIENT, f"{call.method}() was cancelled", "device"), duration)
        if isinstance(error, asyncio.CancelledError):
            error = ContractError(f"{call.method}() ended as cancelled though nobody had cancelled it")
        return Outcome(judge(error), duration)

    @staticmethod
    def _settle(call: Call, done: "asyncio.Future[Outcome]") -> None:
        if done.cancelled():  # cancelled before its first step, so nothing of the plugin has run
            call.outcome = Outcome(Failure(Kind.TRANSIENT, f"{call.method}() was cancelled", "device"), 0.0)
        else:
            call.outcome = done.result()
        call.on_done()


class CallThread(Executor):
    """One daemon thread that runs calls in order. A stuck call never keeps the program from ending."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it after everything submitted before."""
        future: Future[Any] = Future()
        self._work.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - Executor's signature
        """End the thread when its current call has returned."""
        self._work.put(None)
        if wait:
            self._thread.join()

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            future, function = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - a thread has nobody above it
                future.set_exception(error)
            del future, function, item
