"""What happened, in order: one record per transition, kept in a bounded log and delivered to subscribers.

Each subscriber has a queue and a task (and for a plain callback a thread) of its own, so that one which raises, blocks
or is slow delays nobody. A full queue drops its oldest event, counts it and says so.
"""

import asyncio
import inspect
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from connmgr.calls import CallThread
from connmgr.connection import BaseConnection, link_of
from connmgr.errors import ConnmgrError, describe
from connmgr.logs import get_logger
from connmgr.states import EVENTS, ConnectionStatus

KEPT = 10_000  # events in the log
QUEUED = 1_000  # events that may wait for one subscriber
SUBSCRIBERS = 1_000
LAST_WORDS = 1.0  # seconds that callbacks get for what is queued when everything ends

log = get_logger("connmgr.events")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one connection.

    Attributes:
        seq: its number since the daemon started, without gaps.
        at: Unix time in nanoseconds. Order by `seq`: clocks step.
        event: a name of `connmgr.states.EVENTS`.
        old, new: the statuses; equal for `health_check_failed`.
        reason: why, in words; layer: which layer failed. None where nothing failed.
        attempts: failed attempts since the link was last stable.
    """

    seq: int
    at: int
    connection_id: str
    event: str
    old: str
    new: str
    reason: str | None
    layer: str | None
    attempts: int

    def as_json(self) -> dict[str, Any]:
        """The event as it leaves the program: `at` in ISO 8601."""
        return asdict(self) | {"at": iso(self.at)}


def iso(nanoseconds: int) -> str:
    """Unix nanoseconds as ISO 8601 in UTC with milliseconds."""
    at = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}Z"


class Subscriber:
    """One callback with its queue."""

    def __init__(self, events: frozenset[str], callback: Callable[[BaseConnection[Any]], Any]) -> None:
        self.events = events
        self.dropped = 0
        self.failed = 0
        self._callback = callback
        self._name = getattr(callback, "__qualname__", type(callback).__name__)
        self._queue: deque[BaseConnection[Any]] = deque(maxlen=QUEUED)
        self._arrived = asyncio.Event()
        self._ending = False
        self._thread: CallThread | None = None
        self._task: asyncio.Task[None] | None = None  # made in the loop: one may subscribe before there is one

    def offer(self, connection: BaseConnection[Any]) -> None:
        """Queue one event; never blocks."""
        if len(self._queue) == QUEUED:
            if self.dropped % QUEUED == 0:
                log.warning("a callback is too slow; its oldest events are dropped", callback=self._name)
            self.dropped += 1
        self._queue.append(connection)
        self._arrived.set()
        if self._task is None:
            try:
                if not inspect.iscoroutinefunction(self._callback):
                    self._thread = CallThread(f"connmgr.callback[{self._name}]")
            except RuntimeError as error:  # the system has no thread left; with the next event there may be one
                self._count(describe(error))
                return
            self._task = asyncio.create_task(self._deliver(), name=f"connmgr.callback[{self._name}]")

    def end(self) -> None:
        """Deliver nothing more, from any thread. A call under way goes on: it may be the one that asks for this."""
        self._ending = True
        self._queue.clear()
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.get_loop().call_soon_threadsafe(self._arrived.set)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self._task is None or self._task.done()

    async def close(self, *, last_words: float = 0.0) -> None:
        """Stop delivering, after `last_words` seconds at most for what is queued already.

        A callback that does not return is left behind.
        """
        if self._task is not None:
            self._ending = True
            self._arrived.set()
            if last_words:
                await asyncio.wait([self._task], timeout=last_words)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)

    async def _deliver(self) -> None:
        try:
            while not self._ending:
                await self._arrived.wait()
                self._arrived.clear()
                while self._queue:
                    try:
                        connection = self._queue.popleft()
                    except IndexError:  # another thread has just ended the subscription, and emptied the queue
                        break
                    await self._call(connection)
        finally:
            if self._thread is not None:
                self._thread.shutdown(wait=False)

    async def _call(self, connection: BaseConnection[Any]) -> None:
        try:
            if self._thread is None:
                await self._callback(connection)
            else:
                result = await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, connection)
                if inspect.iscoroutine(result):  # a lambda around an async function, or an object with async __call__
                    await result
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._count("it ended as cancelled")
        except BaseException as error:  # noqa: BLE001 - a callback is its own problem, SystemExit included
            self._count(describe(error))

    def _guarded(self, connection: BaseConnection[Any]) -> object:
        try:
            return self._callback(connection)
        except BaseException as error:  # noqa: BLE001 - StopIteration and the like cannot cross a future
            self._count(describe(error))
            return None

    def _count(self, reason: str) -> None:
        self.failed += 1
        if self.failed == 1:
            log.error("a callback failed; further failures are only counted", callback=self._name, reason=reason)


class EventLog:
    """The newest events, their subscribers, and those who wait for the next one.

    `boot_id` is new at every start, so that a reader can tell a restart from a continuation.
    """

    def __init__(self) -> None:
        self.boot_id = secrets.token_hex(8)
        self.seq = 0
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._subscribers: list[Subscriber] = []
        self._news: asyncio.Event | None = None
        self._leaving: list[Subscriber] = []  # unsubscribed, perhaps within a call that has not returned

    def publish(
        self,
        connection: BaseConnection[Any],
        event_name: str,
        old: ConnectionStatus,
        new: ConnectionStatus,
        *,
        reason: str | None,
        layer: str | None,
        attempts: int,
    ) -> Event:
        """Number an event, keep it, and queue it for every subscriber of its name; the fields are `Event`'s."""
        self.seq += 1
        event = Event(
            seq=self.seq,
            at=time.time_ns(),
            connection_id=link_of(connection).name,  # a plugin may assign connection_id, but speak for no other one
            event=event_name,
            old=old.value,
            new=new.value,
            reason=reason,
            layer=layer,
            attempts=attempts,
        )
        self._kept.append(event)
        for subscriber in self._subscribers:
            if event.event in subscriber.events:
                subscriber.offer(connection)
        if self._news is not None:
            self._news.set()
            self._news = None
        return event

    def subscribe(self, name: str, callback: Callable[[BaseConnection[Any]], Any]) -> Callable[[], None]:
        """Call back with the connection on every event of that name ("*" for all).

        An `async` callback runs in the event loop, a plain one in a thread of its own.

        Returns:
            A function that ends it, callable from anywhere, the callback itself included; a call under way goes on.

        Raises:
            ConnmgrError: no event has that name, or there are too many subscribers.
        """
        if name != "*" and name not in EVENTS:
            raise ConnmgrError(f"cannot subscribe to {name!r}: the events are {', '.join(sorted(EVENTS))}")
        if len(self._subscribers) >= SUBSCRIBERS:
            raise ConnmgrError(f"cannot subscribe to {name!r}: there are {SUBSCRIBERS} subscribers already")
        subscriber = Subscriber(EVENTS if name == "*" else frozenset({name}), callback)
        self._subscribers = [*self._subscribers, subscriber]  # a new list: another thread may be going through the old

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers = [other for other in self._subscribers if other is not subscriber]
                self._leaving = [*(other for other in self._leaving if not other.is_over), subscriber]
                subscriber.end()

        return unsubscribe

    def after(self, seq: int) -> Iterable[Event]:
        """The kept events with a higher number than `seq`, oldest first."""
        if not self._kept or seq >= self.seq:
            return []
        skip = max(seq - self._kept[0].seq + 1, 0)
        return [event for index, event in enumerate(self._kept) if index >= skip]

    def of(self, connection_id: str, most: int) -> list[Event]:
        """The newest `most` kept events of one connection, oldest first."""
        found: list[Event] = []
        for event in reversed(self._kept):
            if event.connection_id == connection_id:
                found.append(event)
                if len(found) == most:
                    break
        return found[::-1]

    async def wait(self, seq: int, timeout: float) -> Iterable[Event]:
        """As `after`, but when there is nothing yet wait up to `timeout` seconds for it."""
        if seq >= self.seq:
            if self._news is None:
                self._news = asyncio.Event()
            try:
                async with asyncio.timeout(timeout):
                    await self._news.wait()
            except TimeoutError:
                return []
        return self.after(seq)

    def figures(self) -> Mapping[str, int]:
        """Events so far, and what subscribers lost or failed at."""
        return {
            "events": self.seq,
            "dropped": sum(subscriber.dropped for subscriber in self._subscribers),
            "failed_callbacks": sum(subscriber.failed for subscriber in self._subscribers),
        }

    async def close(self) -> None:
        """Deliver what is queued, and end every subscriber, within two seconds or so."""
        subscribers = [*self._subscribers, *self._leaving]
        self._subscribers, self._leaving = [], []
        await asyncio.gather(*(subscriber.close(last_words=LAST_WORDS) for subscriber in subscribers))
