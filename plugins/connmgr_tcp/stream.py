"""One open socket of a device: what it said and nobody has read yet, bounded, and who waits for more.

A protocol of our own in place of asyncio's streams, because a stream without a reader learns only at its next read
that the peer has closed, and because this is smaller.
"""

import asyncio
import select
import socket
from types import TracebackType
from typing import Protocol, Self, cast

from connmgr import NoAnswerError, NotConnectedError, TransientError

FLUSH = 1.0  # seconds that bytes not sent yet get when the link is closed on purpose

KEEPALIVE = {  # a dead peer is noticed after 30 s of silence and 3 probes, or 60 s after bytes it did not confirm
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 60_000,
}


ABANDONED = "a question was left without its answer"


class Owner(Protocol):
    """The connection, as far as its stream knows it."""

    dropped_bytes: int

    @property
    def endpoint(self) -> str:
        """For messages."""

    def update_stats(
        self, *, packets_sent: int = 0, packets_received: int = 0, bytes_sent: int = 0, bytes_received: int = 0
    ) -> None:
        """Count traffic."""

    def connection_lost(self, reason: str) -> None:
        """The device closed, or the connection broke."""


class Stream(asyncio.Protocol):
    """What one socket has received. `with stream:` reserves it for one question and its answer.

    Left by an exception the socket is closed at once, so that the late answer has nowhere to arrive.

    Attributes:
        over: why it has ended, or None.
        said: the last line passed over by `find`, for messages.
    """

    __slots__ = (
        "_asking",
        "_closed",
        "_full",
        "_limit",
        "_owner",
        "_paused",
        "_transport",
        "_unread",
        "_waiters",
        "over",
        "said",
    )

    def __init__(self, owner: Owner, limit: int) -> None:
        self._owner = owner
        self._limit = limit
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._waiters: list[asyncio.Future[None]] = []
        self._asking = self._closed = self._full = self._paused = False
        self.over: str | None = None
        self.said = b""

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        if self.over is not None:
            return
        self._unread += data
        if len(self._unread) > self._limit and not self._paused:
            self._paused = True
            self._live().pause_reading()
        self._owner.update_stats(packets_received=1, bytes_received=len(data))
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if self.over is None:
            self.over = f"the connection broke: {_words(exc)}" if exc else "the device closed the connection"
            self._owner.connection_lost(self.over)
        self._wake()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake()

    # --- the socket

    @property
    def is_full(self) -> bool:
        """Whether the peer takes no more bytes for now."""
        return self._full

    @property
    def is_open(self) -> bool:
        """Whether a socket was opened at all."""
        return self._transport is not None

    def configure(self, *, keepalive: bool) -> None:
        """Set up a socket that was just opened.

        Raises:
            ConnectionRefusedError: it met itself. That is how dialling a port of this machine that nobody listens on
                can end, when the system happens to pick the same port for our side.
        """
        transport = self._live()
        sock: socket.socket = transport.get_extra_info("socket")
        if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
            raise ConnectionRefusedError("nobody listens there")
        if keepalive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in KEEPALIVE.items():
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def seems_alive(self) -> bool:
        """Whether the peer is there as far as the system knows; also while nobody reads and reading has stopped."""
        return self.over is None and not (self._paused and self._poll(select.POLLRDHUP))

    def abort(self, reason: str) -> None:
        """Close at once; what was not sent or read yet is lost."""
        if self.over is None:
            self.over = reason
        self._unread.clear()
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    async def close(self) -> None:
        """Close, with FLUSH seconds for what was not sent yet."""
        self.over = self.over or "the connection was closed"
        transport = self._live()
        transport.close()
        try:
            async with asyncio.timeout(FLUSH):
                while not self._closed:
                    await self._change()
        except TimeoutError:
            pass
        finally:
            transport.abort()
        if not self._closed:
            await asyncio.sleep(0)  # asyncio closes the socket in the loop's next round

    # --- one question, one answer

    def __enter__(self) -> Self:
        self._asking = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asking = False
        if error is not None:
            self.abort(ABANDONED)
        self._wake()

    def write(self, data: bytes) -> None:
        """Hand over all of `data`; use `send` outside of an exchange."""
        self._live().write(data)
        self._owner.update_stats(packets_sent=1, bytes_sent=len(data))

    async def drop_unread(self, until: bytes | None) -> bool:
        """Throw away what came unasked, also what the system still holds: none of it answers the next question.

        Args:
            until: what ends a line: the beginning of an unfinished line is kept, so that its end can be recognised.

        Returns:
            Whether the next line to arrive is the end of such a line.
        """
        while True:
            end = len(self._unread) if until is None else _after_last(self._unread, until)
            self._drop(end)
            self._check_length(len(self._unread))
            if self.over is not None:
                raise self._error(NotConnectedError)
            if not self._poll(select.POLLIN):
                return bool(self._unread)
            await asyncio.sleep(0)  # lets the loop read it

    async def line(self, until: bytes, *, skip_first: bool) -> bytes:
        """The next line without its end; with `skip_first` the one after."""
        searched = 0
        while True:
            end = self._unread.find(until, max(searched - len(until) + 1, 0))
            self._check_length(len(self._unread) if end < 0 else end)
            if end < 0:
                searched = len(self._unread)
                await self._more(NoAnswerError)
            elif skip_first:
                self._drop(end + len(until))
                skip_first, searched = False, 0
            else:
                return self._take(end + len(until))[:end]

    async def exactly(self, length: int) -> bytes:
        """The next `length` bytes."""
        while len(self._unread) < length:
            await self._more(NoAnswerError)
        return self._take(length)

    async def find(self, question: bytes, wanted: bytes, until: bytes | None) -> None:
        """Ask, wait for `wanted` and take it out of the stream; everything else stays for `receive`.

        Args:
            until: what ends a line: the whole line with `wanted` in it is taken. None: `wanted` alone.
        """
        start = len(self._unread) if until is None else _after_last(self._unread, until)
        self.write(question)
        while True:
            end, length, start = self._look(wanted, until, start)
            if end:
                del self._unread[end - length : end]
                return self._make_room()
            if len(self._unread) > self._limit:  # nobody reads, and the answer must not wait behind it
                self._drop(start)
                self._check_length(len(self._unread))
                start = 0
            await self._more(NoAnswerError)

    def _look(self, wanted: bytes, until: bytes | None, start: int) -> tuple[int, int, int]:
        """Where the answer ends (0: not there) and its length, and where to look on."""
        unread = self._unread
        if until is None:
            at = unread.find(wanted, start)
            if at >= 0:
                return at + len(wanted), len(wanted), 0
            return 0, 0, max(start, len(unread) - len(wanted) + 1)
        # Not line by line: a device that pours out lines would take the loop's time, and that is everybody's.
        at = unread.find(wanted, start)
        passed = unread.rfind(until, start, at if at >= 0 else len(unread))
        if passed >= 0:
            before = unread.rfind(until, start, passed)
            self.said = bytes(unread[before + len(until) if before >= 0 else start : passed + len(until)])
            start = passed + len(until)
        end = unread.find(until, at) if at >= 0 else -1
        return (end + len(until), end + len(until) - start, 0) if end >= 0 else (0, 0, start)

    # --- a stream of bytes

    async def send(self, data: bytes) -> None:
        """Write between two exchanges, and wait until the system has taken most of it.

        Raises:
            NotConnectedError: it is over; nothing was sent.
        """
        while self._asking or self._full:
            await self._more(NotConnectedError)
        if self.over is not None:
            raise self._error(NotConnectedError)
        self.write(data)
        await self._drained()

    async def receive(self, max_bytes: int) -> bytes:
        """The next bytes that are no answer, at least one.

        Raises:
            NotConnectedError: it is over, and everything was read.
        """
        while self._asking or not self._unread:
            await self._more(NotConnectedError)
        return self._take(max_bytes)

    # --- inside

    def _live(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def _poll(self, events: int) -> bool:
        if self._live().is_closing():
            return True  # and connection_lost is about to be called
        poll = select.poll()
        poll.register(self._live().get_extra_info("socket").fileno(), events)
        return bool(poll.poll(0))

    def _take(self, count: int) -> bytes:
        taken = bytes(self._unread[:count])
        del self._unread[:count]
        self._make_room()
        return taken

    def _drop(self, count: int) -> None:
        if count:
            del self._unread[:count]
            self._owner.dropped_bytes += count
            self._make_room()

    def _make_room(self) -> None:
        if self._paused and len(self._unread) <= self._limit:
            self._paused = False
            if not self._live().is_closing():
                self._live().resume_reading()

    def _check_length(self, length: int) -> None:
        if length > self._limit:
            endpoint = self._owner.endpoint
            raise TransientError(f"cannot use {endpoint}: a line is longer than max_line ({self._limit} bytes)")

    def _error(self, kind: type[TransientError]) -> TransientError:
        return kind(f"cannot use {self._owner.endpoint}: {self.over}")

    async def _more(self, when_over: type[TransientError]) -> None:
        if self.over is not None:
            raise self._error(when_over)
        await self._change()

    async def _drained(self) -> None:
        while self._full:
            await self._more(NoAnswerError)

    async def _change(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _after_last(unread: bytearray, until: bytes) -> int:
    """Index after the last end of a line; 0 without one."""
    at = unread.rfind(until)
    return at + len(until) if at >= 0 else 0


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
