"""The simulated device: its values, and taking it away and back."""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from connmgr import NoAnswerError
from connmgr_modbus import ModbusConnection
from connmgr_modbus.connection import ModbusRefusedError
from connmgr_modbus.simulator import ModbusSimulator

Dial = Callable[[Mapping[str, Any]], Awaitable[ModbusConnection]]


async def test_values_change_over_time(dial: Dial) -> None:
    """The counter counts, temperature and pressure are what a plant could have, unit 2 is warmer."""
    async with ModbusSimulator(port=0) as device:
        bus = await dial(device.config)
        first, temperature, *pressure = await bus.read_holding_registers(0, 4)
        assert 150 <= temperature <= 250
        assert 3.5 <= struct.unpack(">f", struct.pack(">HH", *pressure))[0] <= 4.5
        assert (await bus.read_input_registers(1, unit=2))[0] >= temperature + 95
        async with asyncio.timeout(2):
            while (await bus.read_holding_registers(0))[0] == first:
                await asyncio.sleep(0.01)


async def test_the_alarm() -> None:
    """The alarm is off at first and on for the last 5 of 30 seconds, in both tables of bits."""
    device = ModbusSimulator(port=0)
    for seconds, expected in ((0, 0), (24, 0), (26, 1), (31, 0)):
        device._started_at = asyncio.get_running_loop().time() - seconds
        for table in ("coil", "discrete"):
            bits = [0b1010]
            device._update(table, 1, bits)
            assert bits == [0b1010 | expected]


async def test_it_is_quiet(dial: Dial, capfd: pytest.CaptureFixture[str]) -> None:
    """Refusals, unknown units and lost clients print nothing."""
    async with ModbusSimulator(port=0) as device:
        bus = await dial(device.config)
        for call in (
            bus.read_holding_registers(50),
            bus.read_coils(17),
            bus.read_holding_registers(0, unit=9),
            bus.write_register(1, 5),
        ):
            with pytest.raises(ModbusRefusedError):
                await call
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("pymodbus").level > logging.CRITICAL


async def test_a_taken_port() -> None:
    """A second device on the same port is an OSError, and the first one stays."""
    async with ModbusSimulator(port=0) as device:
        other = ModbusSimulator(port=device.port)
        with pytest.raises(OSError, match="in use"):
            await other.start()
        await other.stop()
        with socket.create_connection(("127.0.0.1", int(device.port)), timeout=1):
            pass


@pytest.mark.parametrize("where", ["tcp", "pty"])
async def test_away_and_back(where: str, dial: Dial, tmp_path: Path) -> None:
    """Stopping ends live clients and frees the port; it comes back where it was."""
    async with ModbusSimulator(port=0 if where == "tcp" else str(tmp_path / "line")) as device:
        endpoint = device.endpoint
        serial = {} if where == "tcp" else {"silence": 0.01, "baudrate": 115200}
        bus = await dial({**device.config, **serial})
        await device.stop()
        await device.stop()
        async with asyncio.timeout(1):
            while bus.is_connected():
                await asyncio.sleep(0.001)
        await bus.disconnect()
        await device.start()
        await device.start()
        assert device.endpoint == endpoint
        assert await bus.connect()


async def test_a_line_answers_for_its_units_alone(dial: Dial, tmp_path: Path) -> None:
    """On a serial line nobody answers for a unit that is not there."""
    async with ModbusSimulator(port=str(tmp_path / "line")) as device:
        bus = await dial({**device.config, "silence": 0.01, "timeout": 0.2, "baudrate": 115200})
        with pytest.raises(NoAnswerError):
            await bus.read_holding_registers(0, unit=9)


async def test_a_path_that_is_taken(tmp_path: Path) -> None:
    """Something else at its path is left alone; the leftover of a simulator that has died is replaced."""
    path = tmp_path / "line"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="taken"):
        await ModbusSimulator(port=str(path)).start()
    assert path.read_text() == "precious"
    path.unlink()
    path.symlink_to("/dev/pts/999999")
    async with ModbusSimulator(port=str(path)) as device:
        assert device.endpoint == str(path)
    assert not path.is_symlink()
