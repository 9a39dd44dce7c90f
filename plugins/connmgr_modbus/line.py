"""One session on one bus: a pymodbus client of its own, and a guard that reads along with it.

The guard sees every byte before pymodbus does (its documented `trace_packet`) and lets through the answer alone.
"""

import asyncio
import logging
import socket
from typing import Protocol

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.transport.serialtransport import SerialTransport

from connmgr import NotConnectedError, TransientError, map_errors
from connmgr_modbus.frames import NOISE, Question, rtu_answer, rtu_question, tcp_answer, tcp_question
from connmgr_modbus.options import ModbusOptions
from connmgr_modbus.serial_port import close_port, drop_input, open_port

Client = AsyncModbusTcpClient | AsyncModbusSerialClient

SETTLE = 0.05  # seconds without a byte after opening, before a line counts as quiet
BABBLE = 3.0  # seconds a line may go on talking after all answers must have come
BROADCAST_PAUSE = 0.1  # seconds that units get to carry out a broadcast, which none of them confirms

# Every failure reaches the caller as an exception; what pymodbus logs besides would only say it twice.
if (_log := logging.getLogger("pymodbus")).level == logging.NOTSET:
    _log.setLevel(logging.CRITICAL + 1)


class Owner(Protocol):
    """The connection that the line belongs to."""

    def connection_lost(self, reason: str) -> None:
        """The other end closed the line, or talks nonsense."""

    def update_stats(
        self,
        *,
        packets_sent: int = 0,
        packets_received: int = 0,
        bytes_sent: int = 0,
        bytes_received: int = 0,
        errors: int = 0,
    ) -> None:
        """Count traffic."""


class Line:
    """Opened once, closed once, not used again.

    Attributes:
        number: transaction id of the last request (Modbus TCP). The next session counts on, so that nothing from this
            one fits there.
        owes_answer: a request was sent and its answer has not come: it may still come.
    """

    def __init__(self, options: ModbusOptions, owner: Owner, number: int) -> None:
        self.number = number
        self.owes_answer = False
        self._options = options
        self._owner = owner
        self._question: Question | None = None
        self._is_draining = False
        self._heard_at = 0.0
        self._client = self._make_client()

    # --- open and close

    async def open(self) -> None:
        """Connect. Nothing is asked yet.

        Raises:
            TransientError, PermanentError: why not.
        """
        options, context = self._options, self._client.ctx
        self._is_draining = options.is_rtu
        # Dialled here and not by pymodbus, which logs the reason of a failure and returns False.
        with map_errors(f"connect {options.endpoint}", {OSError: TransientError}):
            async with asyncio.timeout(options.timeout):
                if options.transport == "rtu":
                    await open_port(options, context.handle_new_connection())
                    await asyncio.sleep(0)  # pymodbus learns of it in the loop's next round
                else:
                    loop = asyncio.get_running_loop()
                    transport, _ = await loop.create_connection(
                        context.handle_new_connection, str(options.host), int(options.port)
                    )
                    _prepare(transport)
        context.next_tid = self.number

    async def wait_for_silence(self, until: float) -> None:
        """Throw away what comes until the loop's time `until` and until the line has been quiet for a moment.

        Raises:
            TransientError: it does not become quiet, or it was closed.
        """
        loop = asyncio.get_running_loop()
        until = max(until, loop.time() + SETTLE)
        while (now := loop.time()) < (goal := max(until, self._heard_at + SETTLE)):
            if now > until + BABBLE:
                raise TransientError(
                    f"cannot use {self._options.endpoint}: somebody talks though nobody asks; "
                    "only one master may be on the bus, and both ends need the same line settings"
                )
            await asyncio.sleep(min(goal - now, SETTLE))
            if not self.is_open:
                raise TransientError(f"cannot use {self._options.endpoint}: {self._closed_reason()}")
        if isinstance(transport := self._client.ctx.transport, SerialTransport):
            drop_input(transport)
        self._is_draining = False

    @property
    def is_open(self) -> bool:
        """Whether the other end has not closed it yet."""
        return self._client.connected

    def close(self) -> None:
        """Close at once; who waits for an answer learns of it."""
        self._give_up(NotConnectedError(f"cannot use {self._options.endpoint}: the connection was closed"))
        context = self._client.ctx
        if isinstance(context.transport, SerialTransport):
            close_port(context.transport)
        elif context.transport is not None:
            context.transport.abort()  # type: ignore[attr-defined]  # uvloop's is no asyncio.Transport, but has it
        self._client.close()

    # --- one question

    async def ask(self, name: str, **arguments: object) -> ModbusPDU | None:
        """Call a method of the pymodbus client; the caller sees to the deadline and that no other call is under way.

        Returns:
            The answer, or a refusal; None for a broadcast, which nobody answers.

        Raises:
            TransientError: the line is of no use any more.
        """
        await self._pause_between_frames()
        with map_errors(f"use {self._options.endpoint}", {ModbusException: TransientError}):
            try:
                answer: ModbusPDU | None = await getattr(self._client, name)(**arguments)
            except BaseException:
                self.close()  # whatever still comes has nowhere to arrive
                raise
        if answer is None:
            await asyncio.sleep(BROADCAST_PAUSE)
        return answer

    async def _pause_between_frames(self) -> None:
        """Frames on a serial line end by a silence of 3.5 characters."""
        if self._options.transport == "rtu":
            gap = max(3.5 * 11 / self._options.baudrate, 0.00175)
            rest = self._heard_at + gap - asyncio.get_running_loop().time()
            if rest > 0:
                await asyncio.sleep(rest)

    # --- what pymodbus calls

    def _packet(self, sending: bool, data: bytes) -> bytes:
        return self._sent(data) if sending else self._received(data)

    def _sent(self, frame: bytes) -> bytes:
        is_rtu = self._options.is_rtu
        question = rtu_question(frame) if is_rtu else tcp_question(frame)
        self.number = question.number
        is_broadcast = is_rtu and question.unit == 0
        self._question = None if is_broadcast else question
        self.owes_answer = not is_broadcast
        self._owner.update_stats(packets_sent=1, bytes_sent=len(frame))
        return frame

    def _received(self, came: bytes) -> bytes:
        """What pymodbus may see of everything that came since the last request: the answer, or nothing yet."""
        self._heard_at = asyncio.get_running_loop().time()
        if self._is_draining:
            self._client.ctx.recv_buffer = b""
            return b""
        if self._question is None:
            if self._options.is_rtu and len(came) > NOISE:
                self.owes_answer = True  # whose answer that was is unknown, so another one may follow
                self._broken("bytes came that nobody had asked for")
            return b""
        try:
            frame = (rtu_answer if self._options.is_rtu else tcp_answer)(self._question, came)
        except TransientError as error:
            self._owner.update_stats(errors=1)
            self._give_up(error)
            return b""
        if frame:
            self._question, self.owes_answer = None, False
            self._owner.update_stats(packets_received=1, bytes_received=len(frame))
        return frame

    def _connection_changed(self, is_up: bool) -> None:
        if not is_up:
            self._broken(self._closed_reason())

    # --- inside

    def _closed_reason(self) -> str:
        if self._options.transport == "rtu":
            return "the serial port is gone; was it unplugged?"
        return "the other end closed the connection"

    def _broken(self, reason: str) -> None:
        self._owner.connection_lost(reason)
        self._give_up(TransientError(f"cannot use {self._options.endpoint}: {reason}"))

    def _give_up(self, error: TransientError) -> None:
        waiting, self._question = self._question is not None, None
        answer = self._client.ctx.response_future
        if waiting and not answer.done():
            answer.set_exception(error)

    def _make_client(self) -> Client:
        options = self._options
        # No deadline of its own: the exchange has one, and two would race.
        everything = {
            "timeout": None,
            "retries": 0,
            "reconnect_delay": 0,
            "trace_packet": self._packet,
            "trace_connect": self._connection_changed,
        }
        if options.transport == "rtu":
            import serial  # noqa: F401 - pymodbus looks for it among the loaded modules

            return AsyncModbusSerialClient(str(options.port), handle_local_echo=options.local_echo, **everything)  # type: ignore[arg-type]
        framer = FramerType.RTU if options.is_rtu else FramerType.SOCKET
        return AsyncModbusTcpClient(str(options.host), port=int(options.port), framer=framer, **everything)  # type: ignore[arg-type]


def _prepare(transport: asyncio.WriteTransport) -> None:
    if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
        # Dialling a port of this machine that nobody listens on can end so, when the system picks it for our side.
        raise ConnectionRefusedError("nobody listens there")
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
