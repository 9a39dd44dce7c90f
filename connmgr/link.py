"""What a connection object and its supervisor share: the current session, its exchanges, and signs of life.

A *session* is the time from one `connect()` to its `disconnect()`. Everything a plugin reports carries the session in
which it was started (a context variable that tasks and transport callbacks inherit), so that what an old session still
has to say never touches a newer one.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol

from connmgr.errors import (
    REASON_LIMIT,
    ContractError,
    Failure,
    Kind,
    NoAnswerError,
    NotConnectedError,
    RefusedError,
    TransientError,
    describe,
)
from connmgr.link_lock import LinkLock
from connmgr.states import ConnectionStatus

inside: ContextVar[tuple["Link", int] | None] = ContextVar("connmgr_inside", default=None)
"""The link and session whose plugin call (or a task started by it) runs here."""

_lock = threading.RLock()  # of what threads and the loop both write: which session it is, its fault, its lock


def stopwatch(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """A clock to measure round trips with: the loop's, which tests make virtual, unless that is too coarse.

    uvloop's `time()` has whole milliseconds and stands still within one turn of the loop.
    """
    return loop.time if isinstance(loop, asyncio.BaseEventLoop) else time.monotonic


class Told(str):
    """A reason that the supervisor wrote into `last_error`, to tell it from one that the plugin assigned."""

    __slots__ = ()


class Watcher(Protocol):
    """The side of the supervisor that a link talks to. Called in the event loop's thread only."""

    def link_lost(self, reason: str) -> None:
        """The current session is over, says the plugin."""

    def answered(self, round_trip: float) -> None:
        """An exchange was finished in this many seconds."""

    def outlook(self) -> str:
        """What happens next, for the message of a call that met a dead link."""


class Link:
    """Shared between one connection object and the supervisor that owns it.

    Without a supervisor (a plugin used by hand) the plugin's own assignments count and nobody is told of losses.
    """

    __slots__ = (
        "_exchanging",
        "_loop",
        "_thread",
        "_waiters",
        "assigned_at",
        "assigned_attempts",
        "assigned_status",
        "attempts",
        "busy_until",
        "checking",
        "connected_at",
        "fault",
        "is_open",
        "name",
        "session",
        "status",
        "stopwatch",
        "traffic_at",
        "watcher",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.status: ConnectionStatus | None = None  # the supervisor's word; None without a supervisor
        self.attempts = 0
        self.connected_at: float | None = None
        self.assigned_status = ConnectionStatus.DISCONNECTED  # the plugin's word
        self.assigned_attempts = 0
        self.assigned_at: float | None = None
        self.session = 0
        self.is_open = False
        self.fault: Failure | None = None
        self.checking = False
        self.busy_until = 0.0
        self.traffic_at: float | None = None
        self.watcher: Watcher | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.stopwatch: Callable[[], float] = time.monotonic
        self._thread = 0
        self._exchanging: LinkLock | None = None
        self._waiters: list[asyncio.Future[None]] = []

    # --- the supervisor's side

    def supervise(self, watcher: Watcher) -> None:
        """From now on `watcher` owns this link; called in its event loop."""
        self.watcher = watcher
        self.status = ConnectionStatus.DISCONNECTED
        self._loop = asyncio.get_running_loop()
        self.stopwatch = stopwatch(self._loop)
        self._thread = threading.get_ident()

    def begin_session(self) -> int:
        """A `connect()` is about to be called. Forgets the faults of the session before."""
        with _lock:
            self.session += 1
            self.is_open = True
            self.fault = None
        self.traffic_at = None
        self._exchanging = None  # a lock that an abandoned call holds is left to it
        return self.session

    def end_session(self) -> None:
        """The session is over: exchanges are refused from here on."""
        self.is_open = False

    def set_status(self, status: ConnectionStatus) -> None:
        """The supervisor's word, which also overwrites the plugin's."""
        self.status = self.assigned_status = status
        if status is ConnectionStatus.CONNECTED:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    @property
    def busy(self) -> bool:
        """Whether an exchange is going on that has not outrun its deadline: in a thread, nothing enforces that."""
        return self._exchanging is not None and self._exchanging.locked() and self.now() < self.busy_until

    # --- the plugin's side

    def now(self) -> float:
        """The loop's clock, which tests can make virtual."""
        return self._loop.time() if self._loop is not None else time.monotonic()

    def is_inside(self) -> bool:
        """Whether the caller is the plugin itself, in its current session."""
        return inside.get() == (self, self.session)

    def calling_session(self) -> int:
        """The session that the caller belongs to; callers from outside belong to the current one."""
        here = inside.get()
        return here[1] if here is not None and here[0] is self else self.session

    def lost(self, session: int, reason: object, layer: str = "tcp") -> None:
        """Report that `session` is over. Thread-safe; ignored when it is not the current one.

        Authors hand on whatever their library told them: an exception, or None for an orderly end.
        """
        if isinstance(reason, BaseException):
            reason = describe(reason)
        elif not isinstance(reason, str) or not reason:
            reason = "the plugin reported the link as lost"
        reason = reason[:REASON_LIMIT]
        with _lock:
            if session != self.session or not self.is_open:
                return
            if self.fault is None:
                self.fault = Failure(Kind.TRANSIENT, reason, layer)
        self._tell(lambda watcher: watcher.link_lost(reason) if session == self.session else None)

    def saw_traffic(self) -> None:
        """The device said something sensible: it lives. Not counted: a health check's own traffic, an old session's."""
        if not self.checking and self.calling_session() == self.session:
            self.traffic_at = self.now()

    def finished(self, session: int, round_trip: float) -> None:
        """An exchange of `session` was finished properly."""
        if session == self.session:
            self.saw_traffic()
            self._tell(lambda watcher: watcher.answered(round_trip))

    def require_open(self) -> None:
        """Raise unless an exchange may start now."""
        # While connect() is at work the link is the plugin's: nobody else's request may come between those of a login.
        is_ready = self.status is ConnectionStatus.CONNECTED or self.is_inside()
        if self.watcher is not None and not (self.is_open and is_ready):
            raise NotConnectedError(f"cannot use {self.name}: {self.watcher.outlook()}")
        if self.calling_session() != self.session:
            raise NotConnectedError(f"cannot use {self.name}: this belongs to a connection that is gone")
        if self.fault is not None:
            following = "it is being reopened" if self.watcher is not None else "make a new object to connect again"
            raise NotConnectedError(f"cannot use {self.name}: the link is broken ({self.fault.reason}); {following}")

    async def wait_connected(self, timeout: float) -> None:
        """Return when the status is connected.

        Raises:
            NotConnectedError: it was not, for `timeout` seconds.
        """
        if self.watcher is None:
            return
        if self.status is ConnectionStatus.CONNECTED and self.fault is None:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            raise NotConnectedError(f"cannot use {self.name}: {self.watcher.outlook()}") from None
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def lock(self) -> LinkLock:
        """The lock that serialises this session's exchanges, in the loop and in threads."""
        with _lock:
            if self._exchanging is None:
                self._exchanging = LinkLock()
            return self._exchanging

    def _tell(self, message: Callable[[Watcher], None]) -> None:
        watcher, loop = self.watcher, self._loop
        if watcher is None or loop is None:
            return
        if threading.get_ident() == self._thread:
            message(watcher)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(message, watcher)


class Exchange:
    """One request and its answer on a link: `async with` in async methods, `with` in plain ones.

    Left by an exception or a cancellation, other than `RefusedError`, the link counts as broken: the late answer to
    this request must never be taken for the answer to the next one. One inside of another is a bug, and raises.
    """

    __slots__ = ("_deadline", "_link", "_lock", "_session", "_started", "_timeout")

    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout

    async def __aenter__(self) -> None:
        self._prepare(asyncio.current_task())
        try:
            async with asyncio.timeout(self._timeout):
                await self._lock.acquire()
        except TimeoutError:
            raise self._still_busy() from None
        self._begin(asyncio.current_task())
        # All of it, however long the link was busy: who gives a device that is fast enough the rest breaks a good link.
        self._deadline = asyncio.timeout(self._timeout)
        await self._deadline.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._deadline.__aexit__(kind, error, trace)
        except TimeoutError:
            self._break(f"no answer within {self._timeout:g} s")
            raise NoAnswerError(f"cannot use {self._link.name}: no answer within {self._timeout:g} s") from error
        else:
            self._settle(error)
        finally:
            self._lock.release()

    def __enter__(self) -> None:
        self._prepare(threading.get_ident())
        if not self._lock.acquire_in_thread(self._timeout):
            raise self._still_busy()
        self._begin(threading.get_ident())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._settle(error)
        self._lock.release()

    def _prepare(self, me: object) -> None:
        link = self._link
        link.require_open()
        self._session, self._lock = link.session, link.lock()
        if self._lock.holder == me:
            raise ContractError(f"cannot use {link.name}: an exchange inside of an exchange waits for itself")

    def _begin(self, me: object) -> None:
        """It is our turn; while we waited, the link may have gone down or been reopened."""
        link = self._link
        try:
            link.require_open()
            if link.session != self._session:
                raise NotConnectedError(f"cannot use {link.name}: it was reopened meanwhile; nothing was sent")
        except BaseException:
            self._lock.release()
            raise
        self._lock.holder = me
        self._started = link.stopwatch()
        link.busy_until = link.now() + self._timeout

    def _still_busy(self) -> TransientError:
        return TransientError(f"cannot use {self._link.name}: still busy after {self._timeout:g} s")

    def _settle(self, error: BaseException | None) -> None:
        if error is None or isinstance(error, RefusedError):
            self._link.finished(self._session, self._link.stopwatch() - self._started)
        else:
            self._break(f"an exchange was left unfinished: {describe(error)}")

    def _break(self, reason: str) -> None:
        self._link.lost(self._session, reason, "device")
