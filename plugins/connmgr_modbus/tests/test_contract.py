"""The contract, kept over every transport."""

import functools
import itertools
import os
import tempfile
from typing import Any

from connmgr.testing import contract_tests
from connmgr_modbus import ModbusConnection
from connmgr_modbus.simulator import ModbusSimulator

QUICK = {"timeout": 1.0, "silence": 0.2}
_numbers = itertools.count()


def serial_line(port: int) -> ModbusSimulator:
    """The simulator on a pty of its own."""
    assert port == 0
    return ModbusSimulator(port=f"{tempfile.gettempdir()}/connmgr-modbus-{os.getpid()}-{next(_numbers)}")


async def ask(connection: ModbusConnection) -> Any:
    """Reads what does not change by itself, from both units."""
    return [await connection.read_holding_registers(100, 4, unit=unit) for unit in (1, 2)]


TestTcp = contract_tests(ModbusConnection, ModbusSimulator, config={"timeout": 1.0}, exercise=ask)
TestRtu = contract_tests(ModbusConnection, serial_line, config={**QUICK, "baudrate": 115200}, exercise=ask)
TestRtuOverTcp = contract_tests(
    ModbusConnection, functools.partial(ModbusSimulator, gateway=True), config=QUICK, exercise=ask
)
