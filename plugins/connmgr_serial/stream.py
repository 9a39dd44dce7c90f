"""What an open port has received and nobody has read yet, cut into messages, bounded; and who waits for more."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import serial_asyncio

from connmgr import NoAnswerError, NotConnectedError, TransientError
from connmgr_serial.aside import Aside
from connmgr_serial.port import Port

GONE = "the port is gone; was it unplugged?"
LAST_WORDS = 1.0  # seconds the transport gets to say that it has ended


@dataclass(frozen=True, slots=True)
class Framing:
    """Where a message ends: at `terminator`, or without one after `length` bytes."""

    terminator: bytes | None
    length: int = 0

    def first(self, unread: bytearray) -> int:
        """Bytes of the first message with its end; 0 while there is none."""
        if self.terminator is None:
            return self.length if len(unread) >= self.length else 0
        at = unread.find(self.terminator)
        return at + len(self.terminator) if at >= 0 else 0

    def all(self, unread: bytearray) -> int:
        """Bytes of all complete messages."""
        if self.terminator is None:
            return len(unread) - len(unread) % self.length
        at = unread.rfind(self.terminator)
        return at + len(self.terminator) if at >= 0 else 0

    def reaching(self, unread: bytearray, count: int) -> int:
        """Bytes of as few messages as make at least `count`; of all complete ones if those are fewer."""
        if self.terminator is None:
            return min(-(-count // self.length) * self.length, self.all(unread))
        at = unread.find(self.terminator, max(count - len(self.terminator), 0))
        return at + len(self.terminator) if at >= 0 else self.all(unread)


class Owner(Protocol):
    """Who is told what happens."""

    def moved(self, *, sent: int = 0, received: int = 0) -> None:
        """A question was handed to the system, or a message was read."""

    def dropped(self, count: int) -> None:
        """Bytes that nobody had asked for were thrown away."""

    def ended(self, reason: str) -> None:
        """The port is gone."""


class Stream(asyncio.Protocol):
    """One open port. `with stream:` reserves it for one question and its answer.

    Attributes:
        over: why it has ended, or None.
        owes_answer: a question was sent whose answer has not come; it may still come.
    """

    def __init__(self, owner: Owner, port: Port, framing: Framing, limit: int) -> None:
        self.over: str | None = None
        self.owes_answer = False
        self._owner = owner
        self._port = port
        self._framing = framing
        self._limit = limit
        self._transport: serial_asyncio.SerialTransport | None = None
        self._unread = bytearray()
        self._is_torn = False  # the beginning of the line that comes next was thrown away
        self._is_asking = self._is_full = self._is_closed = False
        self._waiters: list[asyncio.Future[None]] = []

    async def start(self) -> None:
        """Read from now on.

        Raises:
            OSError: the port was unplugged meanwhile.
        """
        loop = asyncio.get_running_loop()
        self._transport, _ = await serial_asyncio.connection_for_serial(loop, lambda: self, self._port)
        await asyncio.sleep(0)  # it begins in the loop's next round

    # --- what the transport calls

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if not self._is_asking:
            self._bound()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - pyserial's words say less
        self._is_closed = True
        if self.over is None:
            self.over = GONE
            self._owner.ended(self.over)
        self._wake()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._wake()

    # --- the port

    @property
    def is_full(self) -> bool:
        """Whether the system takes no more bytes now."""
        return self._is_full

    def seems_alive(self) -> bool:
        """Whether the port still answers the system; the device behind it is not asked."""
        try:
            return self.over is None and self._port.in_waiting >= 0
        except OSError:
            return False

    def abort(self, reason: str) -> None:
        """Stop at once; what was not sent yet is lost."""
        if self.over is None:
            self.over = reason
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()
        self._wake()

    async def close(self, aside: Aside) -> None:
        """Stop, and close the port beside the loop: whoever waits for it can stop waiting, it is closed anyway."""
        self.abort("the connection was closed")
        try:
            if self._transport is not None:
                async with asyncio.timeout(LAST_WORDS):
                    while not self._is_closed:
                        await self._change()
        except TimeoutError:
            if self._transport is not None:
                self._transport.flush()  # it was unplugged while bytes waited to be sent: they are not sent any more
        finally:
            await aside.run(f"close {self._port.port}", self._port.release)

    # --- one question, one answer

    def __enter__(self) -> None:
        self._is_asking = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_asking = False
        if error is not None:
            self.abort("a question was left without its answer")
        self._bound()
        self._wake()

    async def drop_unread(self, framing: Framing) -> None:
        """Throw away what came unasked, also what the system still holds: none of it answers the next question."""
        while self.seems_alive() and self._port.in_waiting:
            await asyncio.sleep(0)  # lets the loop read it
            self._drop(framing)
        self._drop(framing)

    def discard_first_line(self) -> None:
        """The line that comes next has begun before we listened: it is not whole."""
        self._is_torn = True

    async def ask(self, question: bytes, framing: Framing) -> bytes:
        """Send `question` and return the next message, which nothing unread may stand before."""
        self._write(question)
        self.owes_answer = True
        answer = await self._message(framing)
        self.owes_answer = False
        return answer

    async def find(self, question: bytes, wanted: bytes) -> None:
        """Send `question` and take the first message with `wanted` in it out of the stream; the others stay."""
        framing = self._framing
        count = framing.all(self._unread)
        others = self._unread[:count]
        del self._unread[:count]
        self._write(question)
        self.owes_answer = True
        try:
            while wanted not in (message := await self._message(framing)):
                others += message + (framing.terminator or b"")
                if len(others) > 2 * self._limit:  # seldom, because it moves all that stays
                    self._forget_oldest(others)
            self.owes_answer = False
        finally:
            self._unread[:0] = others

    # --- messages in order

    async def send(self, data: bytes) -> None:
        """Write between two exchanges, and wait until the system has taken most of it."""
        while self._is_asking or self._is_full:
            await self._more(NotConnectedError)
        self._write(data)
        while self.is_full:
            await self._more(NoAnswerError)
        if self._port.is_gone:
            raise NoAnswerError(GONE)

    async def receive(self) -> bytes:
        """The next message that is no answer."""
        while self._is_asking:
            await self._more(NotConnectedError)
        return await self._message(self._framing, NotConnectedError, lambda: not self._is_asking)

    # --- inside

    def _write(self, data: bytes) -> None:
        if self.over is not None or self._transport is None:
            raise NotConnectedError(self.over or "it is not open")
        self._transport.write(data)
        self._owner.moved(sent=len(data))

    async def _message(
        self,
        framing: Framing,
        when_over: type[TransientError] = NoAnswerError,
        is_mine: Callable[[], bool] = lambda: True,
    ) -> bytes:
        while True:
            end = framing.first(self._unread) if is_mine() else 0
            if (end or len(self._unread)) > self._limit + len(framing.terminator or b""):
                self._drop(framing)
                raise TransientError(f"a line of the device is longer than max_line ({self._limit} bytes)")
            if end == 0:
                await self._more(when_over)
                continue
            message = bytes(self._unread[:end])
            del self._unread[:end]
            if self._is_torn and framing.terminator is not None:
                self._is_torn = False
                self._owner.dropped(end)
                continue
            self._owner.moved(received=end)
            return message.removesuffix(framing.terminator) if framing.terminator else message

    def _drop(self, framing: Framing) -> None:
        """Throw away everything; the rest of a line that has begun will go too."""
        count = len(self._unread)
        if count:
            self._is_torn = framing.terminator is not None and framing.all(self._unread) < count
            self._unread.clear()
            self._owner.dropped(count)

    def _bound(self) -> None:
        """Forget the oldest messages when nobody reads."""
        if len(self._unread) > self._limit and self._forget_oldest(self._unread):
            self._is_torn = False
        if len(self._unread) > self._limit + len(self._framing.terminator or b"") and not self._waiters:
            self._drop(self._framing)

    async def _more(self, when_over: type[TransientError]) -> None:
        if self.over is not None:
            raise when_over(self.over)
        await self._change()

    async def _change(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)

    def _forget_oldest(self, messages: bytearray) -> int:
        """Drop what is over the limit, in whole messages; in one go, because it is everybody's time."""
        end = self._framing.reaching(messages, len(messages) - self._limit)
        del messages[:end]
        self._owner.dropped(end)
        return end

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
