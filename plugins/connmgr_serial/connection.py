"""The connection type `serial`: one port, used as request and reply, or as a stream of messages."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connmgr import BaseConnection, NoAnswerError, NotConnectedError, TransientError, map_errors
from connmgr_serial.aside import Aside
from connmgr_serial.options import SerialOptions

if TYPE_CHECKING:
    from connmgr_serial.stream import Framing, Stream


class SerialConnection(BaseConnection[SerialOptions]):
    """A device on a serial port. Nobody else can have the port open meanwhile.

    Use one of two ways, according to what the device does:

    - `request`: the device answers, and only when asked. What it said before the question is thrown away and counted in
      `dropped_bytes`; after a question without an answer the port is closed, and once it is open again what comes is
      thrown away until the old answer cannot come any more (`silence`).
    - `send_data` and `receive_data`: the device talks by itself, in messages that end as `framing` says. Not more than
      `max_line` unread bytes are kept; then the oldest messages are thrown away.

    Unplugging is noticed at once, and plugging in again at the next attempt to reconnect.

    Attributes:
        dropped_bytes: bytes thrown away because nobody wanted them, since the connection was created.
    """

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:  # noqa: ANN401 - the contract's
        super().__init__(connection_id, config, app_context)
        self.dropped_bytes = 0
        self._aside = Aside()
        self._stream: Stream | None = None
        self._quiet_at = 0.0  # loop time until which an old answer may come

    @property
    def endpoint(self) -> str:
        """The path of the port."""
        return self.options.port

    # --- the contract

    async def connect(self) -> bool:
        from connmgr_serial.port import Port, open_port  # brings pyserial
        from connmgr_serial.stream import Stream

        options = self.options
        port = await self._aside.run(f"open {options.port}", lambda: open_port(options), Port.release)
        stream = self._stream = Stream(self, port, self._framing(), options.max_line)
        with map_errors(f"open {options.port}", {OSError: TransientError}):
            await stream.start()
        await asyncio.sleep(self._quiet_at - asyncio.get_running_loop().time())
        await stream.drop_unread(self._framing())
        if options.discard_first_line and options.framing == "line":
            stream.discard_first_line()
        return await self.health_check()

    async def disconnect(self) -> bool:
        stream, self._stream = self._stream, None
        if stream is not None:
            if stream.owes_answer:
                self._quiet_at = asyncio.get_running_loop().time() + self.options.longest_answer
            await stream.close(self._aside)
        return True

    def is_connected(self) -> bool:
        return self._stream is not None and self._stream.over is None

    async def health_check(self) -> bool:
        """Ask the configured question. Without one: look whether the port is there, send nothing."""
        check = self.options.health_check
        if check is None:
            return self._live().seems_alive()
        async with self.exchange(self.options.timeout):
            stream = self._live()
            with stream:
                await stream.find(check.question, check.answer)
        return True

    # --- for applications

    async def request(
        self, data: bytes, *, until: bytes | None = None, length: int | None = None, timeout: float | None = None
    ) -> bytes:
        """Send a question and return its answer: one message.

        Args:
            data: the question, with its line end.
            until: what ends the answer; None takes the option `framing`.
            length: the answer's length in bytes, instead of `until`.
            timeout: seconds to wait for other exchanges, and as many again for this one; None takes the option
                `timeout`.

        Returns:
            The answer without its line end.

        Raises:
            NotConnectedError: the link is down; nothing was sent.
            NoAnswerError: no complete answer; the link is broken and is reopened.
            TransientError: other exchanges went on for all of `timeout`, or the answer is longer than `max_line`
                (which breaks the link).
            ValueError: both `until` and `length`, or one of them is impossible.
        """
        framing = self._framing(until, length)
        self._live()
        async with self.exchange(self._seconds(timeout)):
            stream = self._live()
            with stream:
                await stream.drop_unread(framing)
                return await stream.ask(data, framing)

    async def send_data(self, data: bytes, timeout: float | None = None) -> int:
        """Send `data`, between two exchanges if some are going on.

        Returns:
            The number of bytes, all of them. The system has taken them; whether the device has is not known.

        Raises:
            NotConnectedError: the link is down; nothing was sent.
            NoAnswerError: the device takes no more bytes (flow control); the link is broken, a part may have been sent.
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

    async def receive_data(self, timeout: float | None = None) -> bytes:
        """The next message that the device sends by itself, without its line end.

        Raises:
            NotConnectedError: the link is down.
            NoAnswerError: nothing came. The link stays, because nothing was asked.
            TransientError: a line is longer than `max_line`.
        """
        stream, seconds = self._stream, self._seconds(timeout)
        if stream is None:
            raise self._not_connected()
        try:
            async with asyncio.timeout(seconds):
                return await stream.receive()
        except TimeoutError:
            raise NoAnswerError(f"cannot receive from {self.endpoint}: no message within {seconds:g} s") from None

    # --- what the stream tells

    def moved(self, *, sent: int = 0, received: int = 0) -> None:
        """Count traffic."""
        self.update_stats(
            packets_sent=1 if sent else 0,
            packets_received=1 if received else 0,
            bytes_sent=sent,
            bytes_received=received,
        )

    def dropped(self, count: int) -> None:
        """Count what nobody wanted."""
        self.dropped_bytes += count

    def ended(self, reason: str) -> None:
        """The port is gone."""
        self.connection_lost(reason)

    # --- inside

    def _framing(self, until: bytes | None = None, length: int | None = None) -> "Framing":
        from connmgr_serial.stream import Framing

        options = self.options
        if until is not None and length is not None:
            raise ValueError("cannot wait for both an end and a length: give one of them")
        if until == b"":
            raise ValueError("cannot wait for an answer that ends with nothing: give a length")
        if length is not None and not 1 <= length <= options.max_line:
            raise ValueError(f"cannot wait for {length} bytes: 1 to max_line ({options.max_line})")
        if until is None and length is None:
            until, length = (options.terminator.encode(), None) if options.length is None else (None, options.length)
        return Framing(until, length or 0)

    def _seconds(self, timeout: float | None) -> float:
        return self.options.timeout if timeout is None else timeout

    def _live(self) -> "Stream":
        if self._stream is None or self._stream.over is not None:
            raise self._not_connected()
        return self._stream

    def _not_connected(self) -> NotConnectedError:
        why = self._stream.over if self._stream is not None else self.last_error
        return NotConnectedError(f"cannot use {self.endpoint}: {why or 'it is not connected'}")
