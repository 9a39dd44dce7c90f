"""A Modbus device to talk to: pymodbus' own server, with process values that change over time."""

import asyncio
import errno
import logging
import math
import struct
from pathlib import Path
from typing import Any, ClassVar

from connmgr.testing import PtyPair, Simulator

UNITS = (1, 2)
WRITABLE = range(100, 200)  # holding registers that keep what is written
READ_FUNCTIONS = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


class ModbusSimulator(Simulator):
    """Units 1 and 2 of one device. `port` is a TCP port, or a path: then it speaks RTU there, through a pty. With
    `gateway` it speaks RTU on the TCP port.

    Holding and input registers: 0 counter, ten a second; 1 temperature in tenths of a degree; 2 and 3 pressure in bar,
    a float32, high word first. Holding registers 100 to 199 keep what is written. Coil 0 and discrete input 0: alarm,
    on for 5 of 30 seconds; coils 1 to 15 keep what is written. Everything else is an illegal address, and other units
    are not there. Unit 2 is 10 degrees warmer.
    """

    default_port: ClassVar[int | str] = 1502

    def __init__(self, host: str = "127.0.0.1", port: int | str | None = None, *, gateway: bool = False) -> None:
        super().__init__(host, port)
        self._gateway = gateway
        self._server: Any = None
        self._pty: PtyPair | None = None
        self._started_at = 0.0

    async def start(self) -> None:
        from pymodbus.framer import FramerType
        from pymodbus.server import ModbusSerialServer, ModbusTcpServer

        if self._server is not None:
            return
        log = logging.getLogger("pymodbus")
        if log.level == logging.NOTSET:  # else it prints a trace of frames for whatever a client does wrong
            log.setLevel(logging.CRITICAL + 1)
        self._started_at = asyncio.get_running_loop().time()
        if isinstance(self.port, str):
            _require_free(self.port)
            self._pty = await PtyPair(self.port).__aenter__()
            server: Any = ModbusSerialServer(
                self._devices(),
                port=self._pty.device_path,
                trace_packet=_only_known_units,
                broadcast_enable=True,
                reconnect_delay=0,
            )
        else:
            framer = FramerType.RTU if self._gateway else FramerType.SOCKET
            server = ModbusTcpServer(self._devices(), address=(self.host, self.port), framer=framer)
        # Opened here and not by pymodbus, which would log an OSError and go on.
        server.is_listener = True
        try:
            listener = await server.call_create()
        except BaseException:
            await self._unplug()
            raise
        server.transport = listener[0] if isinstance(listener, tuple) else listener
        if not isinstance(self.port, str):
            self.port = int(listener.sockets[0].getsockname()[1])
        self._server = server

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.shutdown()
            await asyncio.sleep(0)  # asyncio closes the clients' sockets in the loop's next round
        await self._unplug()

    @property
    def config(self) -> dict[str, Any]:
        if isinstance(self.port, str):
            return {"transport": "rtu", "port": self.port, "unit": 1}
        transport = {"transport": "rtu_over_tcp"} if self._gateway else {}
        return {**transport, "host": self.host, "port": self.port, "unit": 1}

    @property
    def endpoint(self) -> str:
        return self.port if isinstance(self.port, str) else f"{self.host}:{self.port}"

    async def _unplug(self) -> None:
        pty, self._pty = self._pty, None
        if pty is not None:
            await pty.close()

    # --- the process

    def _devices(self) -> list[Any]:
        from pymodbus.constants import ExcCodes
        from pymodbus.simulator import DataType, SimData, SimDevice

        def device(unit: int, action: Any) -> Any:  # noqa: ANN401 - pymodbus is imported when it is needed
            return SimDevice(
                id=unit,
                simdata=(
                    [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
                    [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
                    [
                        SimData(0, count=4, datatype=DataType.REGISTERS, readonly=True),
                        SimData(WRITABLE.start, count=len(WRITABLE), datatype=DataType.REGISTERS),
                    ],
                    [SimData(0, count=4, datatype=DataType.REGISTERS)],
                ),
                action=action,
            )

        def process(unit: int) -> Any:  # noqa: ANN401 - as above
            async def update(
                function: int, _start: int, _at: int, _count: int, registers: list[int], _written: object
            ) -> None:
                self._update(READ_FUNCTIONS.get(function, ""), unit, registers)

            return update

        async def nobody(*_: object) -> ExcCodes:
            return ExcCodes.GATEWAY_NO_RESPONSE

        return [*(device(unit, process(unit)) for unit in UNITS), device(0, nobody)]  # 0: all the others

    def _update(self, table: str, unit: int, registers: list[int]) -> None:
        seconds = asyncio.get_running_loop().time() - self._started_at
        if table in ("holding", "input"):
            temperature = 20.0 + 10.0 * (unit - 1) + 5.0 * math.sin(seconds / 10)
            pressure = struct.unpack(">HH", struct.pack(">f", 4.0 + 0.5 * math.sin(seconds / 7)))
            registers[0:4] = [int(seconds * 10) & 0xFFFF, round(temperature * 10), *pressure]
        elif table:
            registers[0] = registers[0] & ~1 | (seconds % 30 >= 25)


def _only_known_units(sending: bool, frame: bytes) -> bytes:
    """On a line nobody answers for a unit that is not there."""
    return frame if sending or (frame and frame[0] in (0, *UNITS)) else b""


def _require_free(path: str) -> None:
    """Raise OSError if something is at `path` that is not the leftover of a simulator that has died."""
    where = Path(path)
    if where.exists() or (where.is_symlink() and not str(where.readlink()).startswith("/dev/pts/")):
        raise FileExistsError(errno.EEXIST, "taken; delete it if no simulator is running there", path)
