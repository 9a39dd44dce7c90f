"""One session with a PLC, from dialling to hanging up. Importing this module loads the S7 library.

A session is used once. Whatever goes wrong in it ends it, because the library can lose its place in the byte stream
(an abandoned read leaves half an answer behind) and says "connected" all the same.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypedDict, TypeVar

from snap7 import AsyncClient
from snap7.error import S7ConnectionError, S7Error, S7ProtocolError, S7TimeoutError
from snap7.s7protocol import S7Protocol
from snap7.type import Area as LibraryArea

from connmgr import NoAnswerError, RefusedError, TransientError
from connmgr_s7.addresses import Area, named
from connmgr_s7.options import S7Options
from connmgr_s7.refusals import refusal

T = TypeVar("T")

GOODBYE: Final = 1.0  # seconds for a proper end; after that the socket is closed without one
FRAME: Final = 7  # bytes that ISO-on-TCP puts before every telegram
READ_OVERHEAD, WRITE_OVERHEAD = 18, 35  # bytes of a telegram that are not data, by the library's reckoning
KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}  # a dead peer shows after 30 s
TYPES: Final = {"pg": 1, "op": 2, "basic": 3}
AREAS: Final = {"DB": LibraryArea.DB, "I": LibraryArea.PE, "Q": LibraryArea.PA, "M": LibraryArea.MK}
GARBLED: Final = (S7ProtocolError, struct.error, ArithmeticError, LookupError, TypeError, ValueError)

_library_log = logging.getLogger("snap7")
if _library_log.level == logging.NOTSET:
    _library_log.setLevel(logging.WARNING)  # it would tell four lines about every session; connmgr tells one


class Traffic(TypedDict):
    """What went over the wire, ISO frames included; the keywords of `update_stats`."""

    packets_sent: int
    packets_received: int
    bytes_sent: int
    bytes_received: int


class PlcSession:
    """Open it, ask, close it; then make another one.

    Args:
        options: of the connection.
        on_lost: told the reason, once, when the PLC ends the session.
    """

    def __init__(self, options: S7Options, on_lost: Callable[[str], None]) -> None:
        self._options = options
        self._on_lost: Callable[[str], None] | None = on_lost
        self._wire = _Wire()
        self._client = AsyncClient()
        self._client.protocol = self._wire
        self._client.pdu_length = options.pdu
        self._client.set_connection_type(TYPES[options.connection_type])
        self._reader: asyncio.StreamReader | None = None
        self.is_open = False

    @property
    def pdu(self) -> int:
        """Bytes of one telegram: what was asked for until the session is open, then what the PLC granted."""
        return self._client.pdu_length

    @property
    def wrote(self) -> bool:
        """Whether a write was handed to the wire since `expect_no_write`; if so, the PLC may have executed it."""
        return self._wire.wrote

    def expect_no_write(self) -> None:
        """A new exchange begins."""
        self._wire.wrote = False

    def take_traffic(self) -> Traffic:
        """What was sent and received since the last call."""
        taken, self._wire.traffic = self._wire.traffic, _no_traffic()
        return taken

    def requests_for(self, size: int, *, write: bool = False) -> int:
        """How many telegrams `size` bytes take."""
        room = max(self.pdu - (WRITE_OVERHEAD if write else READ_OVERHEAD), 1)
        return -(-size // room)

    # --- the session

    async def open(self) -> None:
        """Dial, and agree on the telegram size, which only a living CPU does.

        Raises:
            TransientError: it did not work; the message says which step failed and what to look at.
        """
        options = self._options
        try:
            dialling = self._client.connect(options.host, options.rack, options.slot, tcp_port=options.port)
            await _heeding_cancellation(dialling)
        except (S7Error, *GARBLED) as error:
            # The library drops the cause, and with it the difference between a wrong name and a refused port.
            cause = _system_error(error) or error
            reason = f"cannot connect to s7://{options.host}:{options.port}: {_in_words(cause)}"
            remedy = "" if isinstance(cause, OSError) and cause.errno else self._remedy()
            raise TransientError(reason + remedy) from cause
        if self._client.connection is not None:
            self._client.connection.timeout = options.timeout  # the library's own is fixed at 5 s
        self._wire.traffic = _no_traffic()  # the greeting is not the caller's
        self.is_open = True
        self._watch_for_the_end()

    async def close(self) -> None:
        """Say goodbye if there is somebody to say it to, and close the socket in any case, also when cancelled."""
        was_open = self.is_open
        transport = self._transport()
        self._forget()
        try:
            if was_open or transport is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(GOODBYE):
                        await self._client.disconnect()
        finally:
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0)  # the transport closes its socket in the loop's next turn

    def abort(self) -> None:
        """Close the socket at once: what may still come must never be taken for an answer."""
        transport = self._transport()
        self._forget()
        if transport is not None:
            transport.abort()

    # --- exchanges

    async def read(self, area: Area, db: int, start: int, size: int) -> bytes:
        """The bytes, as many as asked for. `db` is 0 outside data blocks.

        Raises:
            RefusedError: the PLC says no.
            NoAnswerError: it says nothing.
            TransientError: the link broke, or the answer makes no sense.
        """
        what = f"read {named(area, db, start, size)}"
        return bytes(await self._ask(what, self._client.read_area(AREAS[area], db, start, size)))

    async def write(self, area: Area, db: int, start: int, data: bytes) -> None:
        """Write the bytes; errors as in `read`."""
        what = f"write {named(area, db, start, len(data))}"
        await self._ask(what, self._client.write_area(AREAS[area], db, start, bytearray(data)))

    async def _ask(self, what: str, answer: Awaitable[T]) -> T:
        wire = self._wire
        wire.request = wire.answer = b""
        try:
            return await _heeding_cancellation(answer)
        except S7TimeoutError as error:
            raise NoAnswerError(f"cannot {what}: no answer within {self._options.timeout:g} s") from error
        except GARBLED as error:
            reason = refusal(wire.request, wire.answer)
            if reason is not None:
                raise RefusedError(f"cannot {what}: {reason}") from error
            raise TransientError(f"cannot {what}: the answer makes no sense: {_in_words(error)}") from error
        except S7Error as error:
            raise TransientError(f"cannot {what}: {_in_words(error)}") from (_system_error(error) or error)

    def _remedy(self) -> str:
        options = self._options
        return (
            f"; check the address, rack {options.rack} and slot {options.slot}, "
            "and that the PLC has a connection to spare"
        )

    # --- the library's streams, in private attributes: it offers no other way to its socket. Should they go, a loss is
    # noticed by the next exchange or health check instead of at once, and keepalive stays off; nothing else changes.

    def _transport(self) -> asyncio.WriteTransport | None:
        transport = getattr(getattr(self._client.connection, "_writer", None), "transport", None)
        return transport if hasattr(transport, "abort") else None

    def _watch_for_the_end(self) -> None:
        """Hear of the end of the stream when it comes, and not when somebody next reads."""
        transport = self._transport()
        if transport is not None:
            _keep_alive(transport)
        reader = getattr(self._client.connection, "_reader", None)
        if not isinstance(reader, asyncio.StreamReader):
            return
        self._reader = reader
        feed_eof, set_exception = reader.feed_eof, reader.set_exception

        def ended() -> None:
            feed_eof()
            self._lost("the PLC closed the connection")

        def broke(error: Exception) -> None:
            set_exception(error)
            self._lost(f"the connection broke: {_in_words(error)}")

        reader.feed_eof = ended  # type: ignore[method-assign]
        reader.set_exception = broke  # type: ignore[assignment,method-assign]
        if reader.at_eof():
            self._lost("the PLC closed the connection")

    def _lost(self, reason: str) -> None:
        on_lost, self._on_lost, self.is_open = self._on_lost, None, False
        if on_lost is not None:
            on_lost(reason)

    def _forget(self) -> None:
        self._on_lost, self.is_open = None, False
        if self._reader is not None:  # undo the ring of references
            for name in ("feed_eof", "set_exception"):
                vars(self._reader).pop(name, None)
            self._reader = None


class _Wire(S7Protocol):
    """The library's protocol, which also keeps the last telegrams: they tell a refusal from garbage."""

    def __init__(self) -> None:
        super().__init__()
        self.request = self.answer = b""
        self.wrote = False
        self.traffic = _no_traffic()

    def build_read_request(self, *args: Any, **kwargs: Any) -> bytes:
        return self._sending(super().build_read_request(*args, **kwargs))

    def build_write_request(self, *args: Any, **kwargs: Any) -> bytes:
        request = self._sending(super().build_write_request(*args, **kwargs))
        self.wrote = True
        return request

    def parse_response(self, pdu: bytes) -> dict[str, Any]:
        self.answer = pdu
        self.traffic["packets_received"] += 1
        self.traffic["bytes_received"] += len(pdu) + FRAME
        return super().parse_response(pdu)

    def _sending(self, request: bytes) -> bytes:
        self.request = request
        self.traffic["packets_sent"] += 1
        self.traffic["bytes_sent"] += len(request) + FRAME
        return request


async def _heeding_cancellation(answer: Awaitable[T]) -> T:
    """Await it, and be cancelled when that was asked for meanwhile.

    The library uses asyncio.wait_for, which in Python 3.11 drops a cancellation that arrives together with the data;
    a deadline of connmgr, or the end of the program, would go unheard.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    value = await answer
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return value


def _no_traffic() -> Traffic:
    return Traffic(packets_sent=0, packets_received=0, bytes_sent=0, bytes_received=0)


def _keep_alive(transport: asyncio.WriteTransport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):  # not on every platform
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _system_error(error: BaseException) -> OSError | None:
    """The operating system's error that the library turned into its own, if there was one."""
    if isinstance(error, S7TimeoutError):  # while dialling it was TCP that had no answer, later it was the PLC
        return TimeoutError("no answer") if str(error).startswith("Connection timeout") else None
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _in_words(error: BaseException) -> str:
    if isinstance(error, TimeoutError | S7TimeoutError):
        return "no answer"
    if isinstance(error, S7ConnectionError | OSError):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}"
