"""The connection type `modbus`: registers and bits of any number of units on one link."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from connmgr import BaseConnection, NotConnectedError, RefusedError, TransientError
from connmgr_modbus.options import ModbusOptions

if TYPE_CHECKING:
    from pymodbus.pdu import ModbusPDU

    from connmgr_modbus.line import Line

MOST_REGISTERS_READ = 125
MOST_BITS_READ = 2000
MOST_REGISTERS_WRITTEN = 123
MOST_BITS_WRITTEN = 1968
NOBODY_THERE = (10, 11)  # a gateway's words for: the device behind me does not answer

READS = {
    "holding": "read_holding_registers",
    "input": "read_input_registers",
    "coil": "read_coils",
    "discrete": "read_discrete_inputs",
}


class ModbusRefusedError(RefusedError):
    """The unit answered with an exception; the link is fine.

    Attributes:
        code: Modbus exception code: 1 illegal function, 2 illegal address, 3 illegal value, 4 device failure, …
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ModbusConnection(BaseConnection[ModbusOptions]):
    """One Modbus link: TCP, a serial line with RTU, or RTU frames through a TCP gateway.

    Addresses are those on the wire, from 0: what a manual calls register 40101 is `read_holding_registers(100)`. Calls
    to all units share the link and wait for each other. A call raises

    - `ValueError`, before anything is sent, for what Modbus cannot express;
    - `ModbusRefusedError` when the unit answers with an exception; the link is fine;
    - `NotConnectedError`, `NoAnswerError` or another `TransientError` when there was no answer, or a wrong one. The
      link is reopened, and on RTU nothing is asked before the old answer cannot come any more.

    Unit 0 is everybody on RTU: it can be written to, and nobody confirms.
    """

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:  # noqa: ANN401 - the contract's
        super().__init__(connection_id, config, app_context)
        self._line: Line | None = None
        self._number = 0
        self._quiet_at: float | None = None  # loop time; None: who used the line before us is unknown

    @property
    def endpoint(self) -> str:
        """`host:port`, or the path of the serial port."""
        return self.options.endpoint

    # --- the contract

    async def connect(self) -> bool:
        from connmgr_modbus.line import Line  # brings pymodbus

        if self._quiet_at is None:
            self._keep_silent()
        line = self._line = Line(self.options, self, self._number)
        await line.open()
        if self.options.is_rtu:
            await line.wait_for_silence(self._quiet_at or 0.0)
        return await self.health_check()

    async def disconnect(self) -> bool:
        line, self._line = self._line, None
        if line is not None:
            self._number = line.number
            if line.owes_answer:
                self._keep_silent()
            line.close()
            await asyncio.sleep(0)  # asyncio closes the socket in the loop's next round
        return True

    def is_connected(self) -> bool:
        return self._line is not None and self._line.is_open

    async def health_check(self) -> bool:
        """Read one register or bit. That the unit refuses proves life; that a gateway misses it does not."""
        check = self.options.health_check
        unit = self.options.unit if check.unit is None else check.unit
        try:
            await self._ask(READS[check.kind], check.address, unit, count=1)
        except ModbusRefusedError as error:
            if error.code in NOBODY_THERE:
                raise TransientError(str(error)) from error
        return True

    # --- reading

    async def read_holding_registers(self, address: int, count: int = 1, *, unit: int | None = None) -> list[int]:
        """`count` (at most 125) registers from `address` on, each 0 to 65535."""
        return await self._read_registers("read_holding_registers", address, count, unit)

    async def read_input_registers(self, address: int, count: int = 1, *, unit: int | None = None) -> list[int]:
        """`count` (at most 125) input registers from `address` on, each 0 to 65535."""
        return await self._read_registers("read_input_registers", address, count, unit)

    async def read_coils(self, address: int, count: int = 1, *, unit: int | None = None) -> list[bool]:
        """`count` (at most 2000) coils from `address` on."""
        return await self._read_bits("read_coils", address, count, unit)

    async def read_discrete_inputs(self, address: int, count: int = 1, *, unit: int | None = None) -> list[bool]:
        """`count` (at most 2000) discrete inputs from `address` on."""
        return await self._read_bits("read_discrete_inputs", address, count, unit)

    # --- writing

    async def write_register(self, address: int, value: int, *, unit: int | None = None) -> None:
        """Write one register, 0 to 65535."""
        _check_range("write_register", address, 1, 1)
        _check_words("write_register", value)
        await self._ask("write_register", address, self._unit(unit), value=value)

    async def write_registers(self, address: int, values: Sequence[int], *, unit: int | None = None) -> None:
        """Write 1 to 123 registers from `address` on, in one request."""
        _check_range("write_registers", address, len(values), MOST_REGISTERS_WRITTEN)
        _check_words("write_registers", *values)
        await self._ask("write_registers", address, self._unit(unit), values=list(values))

    async def write_coil(self, address: int, value: bool, *, unit: int | None = None) -> None:
        """Switch one coil."""
        _check_range("write_coil", address, 1, 1)
        await self._ask("write_coil", address, self._unit(unit), value=bool(value))

    async def write_coils(self, address: int, values: Sequence[bool], *, unit: int | None = None) -> None:
        """Switch 1 to 1968 coils from `address` on, in one request."""
        _check_range("write_coils", address, len(values), MOST_BITS_WRITTEN)
        await self._ask("write_coils", address, self._unit(unit), values=[bool(value) for value in values])

    async def mask_write_register(self, address: int, and_mask: int, or_mask: int, *, unit: int | None = None) -> None:
        """Let the device change bits of a register: `(old & and_mask) | (or_mask & ~and_mask)`."""
        _check_range("mask_write_register", address, 1, 1)
        _check_words("mask_write_register", and_mask, or_mask)
        await self._ask("mask_write_register", address, self._unit(unit), and_mask=and_mask, or_mask=or_mask)

    # --- inside

    async def _read_registers(self, name: str, address: int, count: int, unit: int | None) -> list[int]:
        _check_range(name, address, count, MOST_REGISTERS_READ)
        answer = await self._ask(name, address, self._unit(unit, is_read=True), count=count)
        return list(answer.registers) if answer is not None else []

    async def _read_bits(self, name: str, address: int, count: int, unit: int | None) -> list[bool]:
        _check_range(name, address, count, MOST_BITS_READ)
        answer = await self._ask(name, address, self._unit(unit, is_read=True), count=count)
        return list(answer.bits[:count]) if answer is not None else []  # they come in whole bytes

    async def _ask(self, name: str, address: int, unit: int, **arguments: object) -> "ModbusPDU | None":
        is_broadcast = unit == 0 and self.options.is_rtu
        async with self.exchange(self.options.timeout):
            if self._line is None:
                raise NotConnectedError(f"cannot use {self.endpoint}: not connected")
            answer = await self._line.ask(
                name, address=address, device_id=unit, no_response_expected=is_broadcast, **arguments
            )
            if answer is not None and answer.isError():
                raise _refused(name, address, unit, answer)
        return answer

    def _unit(self, unit: int | None, *, is_read: bool = False) -> int:
        unit = self.options.unit if unit is None else unit
        if not 0 <= unit <= 255:
            raise ValueError(f"cannot ask unit {unit}: units are 0 to 255")
        if unit == 0 and is_read and self.options.is_rtu:
            raise ValueError("cannot read from unit 0: on RTU that is everybody, and nobody answers; name a unit")
        return unit

    def _keep_silent(self) -> None:
        self._quiet_at = asyncio.get_running_loop().time() + self.options.longest_answer


def _refused(name: str, address: int, unit: int, answer: "ModbusPDU") -> ModbusRefusedError:
    from pymodbus.constants import ExcCodes

    code = answer.exception_code
    words = ExcCodes(code).name.lower().replace("_", " ") if code in list(ExcCodes) else "not in the standard"
    function = answer.function_code & 0x7F
    return ModbusRefusedError(
        f"cannot {name} at address {address} of unit {unit}: {words} (exception {code} to function {function})", code
    )


def _check_range(name: str, address: int, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise ValueError(f"cannot {name} with {count} values: 1 to {most} fit into one request")
    if address < 0 or address + count > 65536:
        raise ValueError(f"cannot {name} from {address} to {address + count - 1}: addresses are 0 to 65535")


def _check_words(name: str, *values: int) -> None:
    for value in values:
        if not 0 <= value <= 65535:
            raise ValueError(f"cannot {name} {value}: a register holds 0 to 65535; encode other types first")
