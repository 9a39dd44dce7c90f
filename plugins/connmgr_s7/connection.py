"""A connection to a Siemens S7 PLC: reads and writes of bytes, kept alive by connmgr."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from connmgr import BaseConnection, NoAnswerError, NotConnectedError, RefusedError, TransientError
from connmgr_s7.addresses import Area, Memory, check_area, check_bit, check_db, check_range, named
from connmgr_s7.options import S7Options
from connmgr_s7.retrying import RetryingS7

if TYPE_CHECKING:
    from connmgr_s7.session import PlcSession

T = TypeVar("T")

SESSION = "connmgr_s7.session"


class S7Connection(BaseConnection[S7Options]):
    """One PLC. Calls of several tasks are served one after the other, each with the link to itself.

    Raised by every read and write, next to ValueError for an address that cannot be:

    - `NotConnectedError`: the link is down; nothing was sent.
    - `NoAnswerError`: no complete answer. A write that ends so may have been executed; every other error of a write
      means that it was not (of one that takes several telegrams: not all of it).
    - `RefusedError`: the PLC says no; the message says what to change there.
    - `TransientError`: the link was busy for all of the time, or broke.
    """

    _session: "PlcSession | None" = None

    async def connect(self) -> bool:
        """Open a session. True, or an exception that says which step failed."""
        await self.disconnect()
        if SESSION not in sys.modules:  # the library takes a while to load: not in the loop
            await asyncio.to_thread(import_module, SESSION)
        from connmgr_s7.session import PlcSession

        self._session = PlcSession(self.options, self.connection_lost)
        await self._session.open()
        return True

    async def disconnect(self) -> bool:
        """Close the session, whatever state it is in."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        return True

    def is_connected(self) -> bool:
        """Whether a session is open and nothing has gone wrong in it yet."""
        return self._session is not None and self._session.is_open

    async def health_check(self) -> bool:
        """Read something. Of an unknown PLC any answer will do; a block that was configured must be readable.

        Raises:
            RefusedError: the PLC does not let us read the configured bytes.
            TransientError: no answer, or a wrong one.
        """
        area = self.options.health_check
        if area is not None:
            await self.read_db(area.db, area.start, area.size)
            return True
        try:
            await self.read_area("M", 0, 1)
        except RefusedError as refusal:  # it takes a living CPU to refuse
            self.logger.debug("the PLC answers, but refuses to show MB0", reason=str(refusal))
        return True

    @property
    def pdu(self) -> int | None:
        """Bytes of one telegram as granted by the PLC; None while there is no session."""
        session = self._session
        return session.pdu if session is not None and session.is_open else None

    # --- data blocks

    async def read_db(self, db: int, start: int, size: int) -> bytes:
        """Read `size` bytes of data block `db` from byte `start` on.

        What does not fit into one telegram (pdu - 18 bytes) is read in several, between which the PLC may change it.
        """
        check_db(db)
        check_range(start, size)
        return await self._read("DB", db, start, size)

    async def write_db(self, db: int, start: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` into data block `db` from byte `start` on.

        What does not fit into one telegram (pdu - 35 bytes) is written in several; an error may come after some.
        """
        check_db(db)
        check_range(start, len(data := bytes(data)))
        await self._write("DB", db, start, data)

    async def read_modify_write_byte_bit(self, db: int, byte_start: int, bit_index: int, value: bool) -> None:
        """Set one bit and keep its neighbours: read the byte, change the bit, write the byte.

        No other call of this connection comes in between. The PLC's program may: let it write bits of other bytes.

        Args:
            db: number of the data block.
            byte_start: the byte.
            bit_index: 0 to 7; 0 is the lowest.
            value: what the bit shall be.
        """
        check_bit(bit_index)
        check_db(db)
        check_range(byte_start, 1)
        mask = 1 << bit_index

        async def change(session: "PlcSession") -> None:
            (byte,) = await session.read("DB", db, byte_start, 1)
            await session.write("DB", db, byte_start, bytes([byte | mask if value else byte & ~mask]))

        await self._exchange(f"set DB{db}.DBX{byte_start}.{bit_index}", change, lambda _: 2, changes=True)

    # --- inputs, outputs and flags

    async def read_area(self, area: Memory, start: int, size: int) -> bytes:
        """Read `size` bytes of the inputs ("I"), outputs ("Q") or flags ("M") from byte `start` on."""
        check_area(area)
        check_range(start, size)
        return await self._read(area, 0, start, size)

    async def write_area(self, area: Memory, start: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` to the inputs, outputs or flags. The PLC's cycle overwrites inputs, its program outputs."""
        check_area(area)
        check_range(start, len(data := bytes(data)))
        await self._write(area, 0, start, data)

    # --- in spite of interruptions

    def retrying(
        self,
        *,
        max_retries: int = 5,
        base_backoff: float = 0.5,
        max_backoff: float = 8.0,
        on_retry: Callable[[str], None] | None = None,
        repeat_writes: bool = False,
    ) -> RetryingS7:
        """The same reads and writes, which wait for a link that is down and try again; see `RetryingS7`."""
        return RetryingS7(
            self,
            max_retries=max_retries,
            base_backoff=base_backoff,
            max_backoff=max_backoff,
            on_retry=on_retry,
            repeat_writes=repeat_writes,
        )

    # --- inside

    async def _read(self, area: Area, db: int, start: int, size: int) -> bytes:
        return await self._exchange(
            f"read {named(area, db, start, size)}",
            lambda session: session.read(area, db, start, size),
            lambda session: session.requests_for(size),
        )

    async def _write(self, area: Area, db: int, start: int, data: bytes) -> None:
        await self._exchange(
            f"write {named(area, db, start, len(data))}",
            lambda session: session.write(area, db, start, data),
            lambda session: session.requests_for(len(data), write=True),
            changes=True,
        )

    async def _exchange(
        self,
        what: str,
        ask: Callable[["PlcSession"], Awaitable[T]],
        requests: Callable[["PlcSession"], int],
        *,
        changes: bool = False,
    ) -> T:
        """Hold the link for all of `ask`, and end the session if that ends badly."""
        session = await self._open_session()
        sent = False
        try:
            async with self.exchange(self.options.timeout * requests(session)):
                try:
                    session.expect_no_write()
                    return await ask(session)
                except RefusedError:
                    raise
                except BaseException:
                    sent = session.wrote
                    session.abort()
                    raise
                finally:
                    self.update_stats(**session.take_traffic())
        except NotConnectedError:
            raise
        except TransientError as error:
            self.update_stats(errors=1)
            reason = str(error).removeprefix(f"cannot use {self.connection_id}: ")
            reason = reason if reason.startswith("cannot ") else f"cannot {what}: {reason}"
            if sent:
                raise NoAnswerError(f"{reason}; the PLC may have executed it: read it back") from error
            if changes:
                raise TransientError(f"{reason}; nothing was written") from error
            raise type(error)(reason) from error

    async def _open_session(self) -> "PlcSession":
        """The session, if it is ready for exchanges.

        Raises:
            NotConnectedError: it is not. Nothing that a caller does may break a session that is still being opened.
        """
        session = self._session
        if session is None or not session.is_open:
            await self.wait_until_connected(0)  # raises, with what happens next
            raise NotConnectedError(f"cannot use {self.connection_id}: it is not connected")
        return session
