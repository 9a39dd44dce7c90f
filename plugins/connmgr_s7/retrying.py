"""Reads and writes that survive an interruption: wait for the link, try again, and say so when giving up."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from connmgr import GaveUpError, NoAnswerError, NotConnectedError, TransientError
from connmgr_s7.addresses import named

if TYPE_CHECKING:
    from connmgr_s7.connection import S7Connection

T = TypeVar("T")


class RetryingS7:
    """What `S7Connection.retrying()` returns.

    A call that fails for a passing reason pauses and is made again: after `base_backoff` seconds, then after twice as
    long each time, at most `max_backoff`; sooner when the link is back sooner. Opening the link stays connmgr's work:
    a call only waits for it.

    Not repeated are a refusal of the PLC, a wrong address, and a write whose answer is missing: the PLC may have
    executed it, its program may have used the value up, and a second "start" is not the same as one. Such a write ends
    with `NoAnswerError`. `repeat_writes=True` is for values that may be written twice, such as setpoints.

    Args:
        connection: whose calls these are.
        max_retries: how often a call is made at most, the first time included.
        base_backoff: seconds of the first pause.
        max_backoff: seconds of the longest pause.
        on_retry: told each retry in one line; without it the connection's logger is, as a warning.
        repeat_writes: also repeat writes that the PLC may have executed already.

    Raises:
        ValueError: max_retries is below 1, or a pause is not positive.
    """

    def __init__(
        self,
        connection: "S7Connection",
        *,
        max_retries: int,
        base_backoff: float,
        max_backoff: float,
        on_retry: Callable[[str], None] | None,
        repeat_writes: bool,
    ) -> None:
        if max_retries < 1:
            raise ValueError(
                f"cannot make a call {max_retries} times: max_retries counts the first one too, so 1 or more"
            )
        if not (base_backoff > 0 and max_backoff > 0):
            raise ValueError(f"cannot pause for {min(base_backoff, max_backoff)} s: pauses are longer than 0")
        self._connection = connection
        self._max_retries = max_retries
        self._base_backoff, self._max_backoff = base_backoff, max_backoff
        self._on_retry = on_retry or connection.logger.warning
        self._repeat_writes = repeat_writes

    async def read_db(self, db: int, start: int, size: int) -> bytes:
        """As `S7Connection.read_db`.

        Raises:
            GaveUpError: all attempts failed.
        """
        return await self._insist(
            f"read {named('DB', db, start, size)}", lambda: self._connection.read_db(db, start, size), repeat=True
        )

    async def write_db(self, db: int, start: int, data: bytes | bytearray | memoryview) -> None:
        """As `S7Connection.write_db`.

        Raises:
            GaveUpError: all attempts failed; without `repeat_writes`, nothing was written.
            NoAnswerError: the PLC may have executed it (never with `repeat_writes`).
        """
        await self._insist(
            f"write {named('DB', db, start, len(data))}",
            lambda: self._connection.write_db(db, start, data),
            repeat=self._repeat_writes,
        )

    async def read_modify_write_byte_bit(self, db: int, byte_start: int, bit_index: int, value: bool) -> None:
        """As `S7Connection.read_modify_write_byte_bit`; each attempt reads the byte anew. Errors as in `write_db`."""
        await self._insist(
            f"set DB{db}.DBX{byte_start}.{bit_index}",
            lambda: self._connection.read_modify_write_byte_bit(db, byte_start, bit_index, value),
            repeat=self._repeat_writes,
        )

    async def _insist(self, what: str, call: Callable[[], Awaitable[T]], *, repeat: bool) -> T:
        """Make the call until it works. `repeat`: also after an attempt that may have been executed."""
        now = asyncio.get_running_loop().time
        began, pause, attempt = now(), self._base_backoff, 0
        while True:
            attempt += 1
            try:
                return await call()
            except TransientError as error:
                if isinstance(error, NoAnswerError) and not repeat:
                    raise
                if attempt >= self._max_retries:
                    times = "1 attempt" if attempt == 1 else f"{attempt} attempts"
                    raise GaveUpError(
                        f"cannot {what} of {self._connection.connection_id}: gave up after {times} "
                        f"in {now() - began:.1f} s, the last one: {error}"
                    ) from error
                pause = min(pause, self._max_backoff)
                self._on_retry(
                    f"{self._connection.connection_id}: attempt {attempt} of {self._max_retries} failed, "
                    f"the next one in {pause:g} s at the latest: {error}"
                )
            await self._pause(pause)
            pause *= 2

    async def _pause(self, seconds: float) -> None:
        """Wait; less when the link, which was down, comes back meanwhile."""
        now = asyncio.get_running_loop().time
        until = now() + seconds
        if not self._connection.is_connected():
            with suppress(NotConnectedError):
                await self._connection.wait_until_connected(seconds)
            if self._connection.is_connected():
                return
        await asyncio.sleep(max(until - now(), 0.0))
