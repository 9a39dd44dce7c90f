"""The connection type `tcp`: one socket, used for requests and replies, or as a stream of bytes."""

import asyncio

from connmgr import BaseConnection, NoAnswerError, NotConnectedError, TransientError, map_errors
from connmgr_tcp.options import HealthCheck, TcpOptions
from connmgr_tcp.stream import ABANDONED, Stream

SHOWN = 60  # bytes of a device's line in a message


class TcpConnection(BaseConnection[TcpOptions]):
    """A raw TCP device.

    Use one of two ways, according to what the device does:

    - `request`: the device answers, and only when asked. Whatever it said before the question is thrown away and
      counted in `dropped_bytes`, so that an old answer is never taken for a new one.
    - `send_data` and `receive_data`: the device also talks by itself. Its bytes come in order and none is lost; which
      of them belong together is for the caller to know.

    Both on one connection cannot work: the answer to a command of `send_data` may arrive while a request waits. The
    health check goes with either: it takes its own answer out of the stream and leaves the rest.

    A device that closes is noticed at once, without a reader. Not more than `max_line` unread bytes (and what one read
    of the system brings) are kept; after that the device has to wait until somebody reads or asks.

    Attributes:
        dropped_bytes: bytes thrown away because they came unasked, since the connection was created.
    """

    dropped_bytes = 0
    _stream: Stream | None = None

    @property
    def endpoint(self) -> str:
        """`tcp://host:port`."""
        host = self.options.host
        return f"tcp://[{host}]:{self.options.port}" if ":" in host else f"tcp://{host}:{self.options.port}"

    async def connect(self) -> bool:
        """Open the socket, and ask the health check's question if there is one."""
        stream = Stream(self, self.options.max_line)
        try:
            await self._open(stream)
        except BaseException:
            stream.abort("the attempt failed")
            raise
        self._stream = stream
        return True

    async def disconnect(self) -> bool:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()
        return True

    def is_connected(self) -> bool:
        return self._stream is not None and self._stream.over is None

    async def health_check(self) -> bool:
        """Ask the configured question. Without one: look at the socket, and send nothing."""
        stream, check = self._live(), self.options.health_check
        if check is None:
            return stream.seems_alive()
        try:
            async with self.exchange(self.options.timeout):
                with stream:
                    await self._ask(stream, check)
        except NoAnswerError:
            raise NoAnswerError(f"cannot check {self.endpoint}: {self._silence(stream, check)}") from None
        return True

    async def send_data(self, data: bytes, timeout: float | None = None) -> int:
        """Send `data`, between two exchanges if some are going on.

        Args:
            timeout: seconds until the system has taken it; None takes the option `timeout`.

        Returns:
            The number of bytes, all of them. The system has taken them; whether the device has is not known.

        Raises:
            NotConnectedError: the link is down; nothing was sent.
            NoAnswerError: the device takes no more bytes; the link is broken, because a part was sent.
            TransientError: an exchange was going on for all of `timeout`; nothing was sent.
        """
        stream, seconds = self._live(), self._seconds(timeout)
        try:
            async with asyncio.timeout(seconds):
                await stream.send(data)
        except TimeoutError:
            if not stream.is_full:
                raise TransientError(f"cannot use {self.endpoint}: still busy after {seconds:g} s") from None
            reason = f"cannot send to {self.endpoint}: it takes no more bytes since {seconds:g} s"
            stream.abort(reason)
            self.connection_lost(reason)
            raise NoAnswerError(reason) from None
        return len(data)

    async def receive_data(self, max_bytes: int = 4096, timeout: float | None = None) -> bytes:
        """The next bytes of the stream, as soon as there are any.

        Args:
            max_bytes: the most to return; at least 1.
            timeout: seconds to wait; None takes the option `timeout`.

        Returns:
            1 to `max_bytes` bytes. What arrived before the device closed can still be read until the reconnection.

        Raises:
            NotConnectedError: the link is down.
            NoAnswerError: nothing came. The link stays, because nothing was asked.
        """
        if max_bytes < 1:
            raise ValueError(f"cannot receive {max_bytes} bytes: at least 1")
        stream, seconds = self._stream, self._seconds(timeout)
        if stream is None:
            raise self._not_connected()
        try:
            async with asyncio.timeout(seconds):
                return await stream.receive(max_bytes)
        except TimeoutError:
            raise NoAnswerError(f"cannot receive from {self.endpoint}: nothing came within {seconds:g} s") from None

    async def request(
        self, data: bytes, *, until: bytes | None = None, length: int | None = None, timeout: float | None = None
    ) -> bytes:
        r"""Send a question and return its answer: a line, or a number of bytes.

        Bytes that came before the question are thrown away. If they end in the middle of a line, so is the rest of
        that line; a device that ends its answers with a prompt needs the prompt as `until`, such as b"\n> ".

        Args:
            data: the question, with its line end.
            until: what ends the answer; None takes the option `terminator`.
            length: the answer's length in bytes, instead of `until`.
            timeout: seconds to wait for other exchanges, and as many again for this one; None takes the option
                `timeout`.

        Returns:
            The answer without `until`.

        Raises:
            NotConnectedError: the link is down; nothing was sent.
            NoAnswerError: no complete answer; the link is broken and is reopened.
            TransientError: other exchanges went on for all of `timeout`, or the answer is longer than `max_line`
                (which breaks the link).
            ValueError: both `until` and `length`, or one of them is impossible.
        """
        end = self._end_of_answer(until, length)
        self._live()
        async with self.exchange(self._seconds(timeout)):
            with self._live() as stream:
                before = self.dropped_bytes
                skip_first = await stream.drop_unread(end)
                stream.write(data)
                answer = await (stream.exactly(length) if length else stream.line(end or b"", skip_first=skip_first))
        if before == 0 != self.dropped_bytes:
            self.logger.warning("the device talks unasked; what came before a request is dropped")
        return answer

    # --- inside

    async def _open(self, stream: Stream) -> None:
        options, what = self.options, f"connect {self.endpoint}"
        try:
            async with asyncio.timeout(options.timeout):
                with map_errors(what, {OSError: TransientError}):
                    loop = asyncio.get_running_loop()
                    await loop.create_connection(lambda: stream, options.host, options.port)
                    stream.configure(keepalive=options.keepalive)
                if options.health_check is not None:
                    await self._ask(stream, options.health_check)
        except TimeoutError as error:
            if stream.is_open and options.health_check is not None:
                raise NoAnswerError(f"cannot {what}: {self._silence(stream, options.health_check)}") from None
            raise TransientError(f"cannot {what}: nobody answers there within {options.timeout:g} s") from error
        except NoAnswerError:
            raise NoAnswerError(f"cannot {what}: {stream.over}") from None

    async def _ask(self, stream: Stream, check: HealthCheck) -> None:
        until = self.options.terminator.encode() if check.expect is not None else None
        await stream.find(check.question, check.answer, until)

    def _silence(self, stream: Stream, check: HealthCheck) -> str:
        """Why a health check had no answer."""
        if stream.over not in (None, ABANDONED):
            return str(stream.over)
        said = f"; it said {stream.said[:SHOWN]!r}" if stream.said else ""
        return f"no answer with {check.answer[:SHOWN]!r} within {self.options.timeout:g} s{said}"

    def _end_of_answer(self, until: bytes | None, length: int | None) -> bytes | None:
        if length is None:
            if until == b"":
                raise ValueError("cannot wait for an answer that ends with nothing: give a length")
            return until if until is not None else self.options.terminator.encode()
        if until is not None:
            raise ValueError("cannot wait for both an end and a length: give one of them")
        if not 1 <= length <= self.options.max_line:
            raise ValueError(f"cannot wait for {length} bytes: 1 to max_line ({self.options.max_line})")
        return None

    def _seconds(self, timeout: float | None) -> float:
        return self.options.timeout if timeout is None else timeout

    def _live(self) -> Stream:
        if self._stream is None or self._stream.over is not None:
            raise self._not_connected()
        return self._stream

    def _not_connected(self) -> NotConnectedError:
        why = self._stream.over if self._stream is not None else self.last_error
        why = why and why.removeprefix(f"cannot connect {self.endpoint}: ")
        return NotConnectedError(f"cannot use {self.endpoint}: {why or 'it is not connected'}")
