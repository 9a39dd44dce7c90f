"""A simulated S7 PLC: python-snap7's server, with a data block whose values move."""

import asyncio
import math
import random
import struct
from typing import TYPE_CHECKING, Any, ClassVar, Final

from connmgr.testing import Simulator

if TYPE_CHECKING:
    from connmgr_s7.fake_plc import FakePlc

TELEMETRY_DB, SCRATCH_DB = 1, 2
COUNTER, TEMPERATURE, PRESSURE, ALARM, MODE = 0, 4, 6, 10, 11  # bytes of DB1; the alarm is bit 0
ALARM_AT, ALARM_OFF_AT = 245, 235  # tenths of a degree


class S7Simulator(Simulator):
    """A PLC with the two blocks of the S7 workshop, plus inputs, outputs and flags (128 bytes each).

    DB1, 256 bytes: counter DINT 0 (+1 each time), temperature INT 4 (tenths of a degree), pressure REAL 6 (bar), alarm
    BOOL 10.0 (set and cleared when the temperature crosses a limit; what a client writes stays until then), mode BYTE
    11 (0, 1, 2 in turn). DB2, 4096 bytes, is for writing: nothing but clients changes it. Contents outlive `stop`.

    Attributes:
        period: seconds between two changes of DB1.
    """

    default_port: ClassVar[int | str] = 1102

    def __init__(self, host: str = "127.0.0.1", port: int | str | None = None, *, period: float = 0.5) -> None:
        super().__init__(host, port)
        self.period = period
        self._blocks = {TELEMETRY_DB: bytearray(256), SCRATCH_DB: bytearray(4096)}
        self._memory = {area: bytearray(128) for area in "IQM"}
        self._process = _Process(self._blocks[TELEMETRY_DB])
        self._plc: FakePlc | None = None
        self._changes: asyncio.Task[None] | None = None

    async def start(self) -> None:
        from connmgr_s7.fake_plc import FakePlc

        await self.stop()
        plc = FakePlc(self._blocks, self._memory)
        self.port = plc.listen(self.host, int(self.port))
        self._plc = plc
        self._changes = asyncio.create_task(self._change(plc), name=f"s7 simulator {self.port}")

    async def stop(self) -> None:
        changes, self._changes = self._changes, None
        plc, self._plc = self._plc, None
        if changes is not None:
            changes.cancel()
            await asyncio.wait([changes])
        if plc is not None:
            await asyncio.to_thread(plc.close)

    @property
    def config(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "rack": 0, "slot": 1}

    @property
    def endpoint(self) -> str:
        return f"{self.host}:{self.port}"

    def peek(self, db: int, start: int, size: int) -> bytes:
        """What is in the PLC, without asking it over the network."""
        return bytes(self._blocks[db][start : start + size])

    async def _change(self, plc: "FakePlc") -> None:
        while True:
            with plc.locked(TELEMETRY_DB):
                self._process.step()
            await asyncio.sleep(self.period)


class _Process:
    """What the simulated PLC measures; writes it into DB1."""

    def __init__(self, block: bytearray) -> None:
        self._block: Final = block
        self._temperature = 215
        self._was_hot = False

    def step(self) -> None:
        block = self._block
        counter = (struct.unpack_from(">i", block, COUNTER)[0] + 1) & 0x7FFF_FFFF
        swing = 235 + 15 * math.sin(counter / 20)
        self._temperature = round(swing + random.uniform(-1, 1))
        struct.pack_into(">i", block, COUNTER, counter)
        struct.pack_into(">h", block, TEMPERATURE, self._temperature)
        struct.pack_into(">f", block, PRESSURE, 4.0 + 0.5 * math.sin(counter / 7) + random.uniform(-0.02, 0.02))
        is_hot = self._temperature > (ALARM_OFF_AT if self._was_hot else ALARM_AT)
        if is_hot is not self._was_hot:
            self._was_hot = is_hot
            block[ALARM] = (block[ALARM] & ~1) | is_hot
        if counter % 20 == 0:
            block[MODE] = (block[MODE] + 1) % 3
