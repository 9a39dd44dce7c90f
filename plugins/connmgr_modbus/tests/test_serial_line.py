"""RTU on a serial port: opening it, losing it, and who else has it."""

import asyncio
import errno
import os
import shutil
from pathlib import Path

import pytest

from connmgr import ConnectionStatus, PermanentError, TransientError
from connmgr_modbus import ModbusConnection
from connmgr_modbus.simulator import ModbusSimulator
from connmgr_modbus.tests.bus import PtyBus, rtu_device
from connmgr_modbus.tests.conftest import Supervise


async def refusal(path: str | Path) -> Exception:
    """What `connect` raises; the connection is cleaned up as the supervisor does it."""
    bus = ModbusConnection("bus", {"transport": "rtu", "port": str(path), "silence": 0.01}, None)
    try:
        with pytest.raises((TransientError, PermanentError)) as caught:
            await bus.connect()
    finally:
        await bus.disconnect()
    return caught.value


async def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """A port that may come is waited for; what never will be a port is refused for good, without blocking."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("")
    async with asyncio.timeout(2):
        for path in (tmp_path, tmp_path / "fifo", tmp_path / "file", Path("/dev/null")):
            error = await refusal(path)
            assert isinstance(error, PermanentError), path
            assert "no serial port" in str(error)
        error = await refusal("/dev/ttyNotThere0")
        assert isinstance(error, TransientError)
        assert "not plugged in" in str(error)


async def test_a_port_that_another_program_uses(supervise: Supervise) -> None:
    """A bus has one master; the second one is told how to find the first."""
    async with PtyBus(rtu_device()) as line:
        await supervise(line.config())
        assert f"`fuser {line.path}`" in str(await refusal(line.path))


async def test_even_parity_on_a_pty(supervise: Supervise) -> None:
    """A pty has no parity; a line that is configured with one can be tried out on it, again and again."""
    async with PtyBus(rtu_device()) as line:
        bus = await supervise(line.config(parity="E", silence=0.01))
        assert await bus.read_holding_registers(7) == [7]
        await bus.disconnect()
        assert await bus.connect()


async def test_unplugging_is_noticed_at_once(supervise: Supervise, tmp_path: Path) -> None:
    """A pulled plug is noticed without traffic; plugged in again at the same path it is back by itself."""
    async with ModbusSimulator(port=str(tmp_path / "line")) as device:
        bus = await supervise({**device.config, "silence": 0.1, "baudrate": 115200})
        loop = asyncio.get_running_loop()
        began = loop.time()
        await device.stop()
        while bus.status is ConnectionStatus.CONNECTED:
            await asyncio.sleep(0.001)
        assert loop.time() - began < 0.3
        assert "unplugged" in str(bus.last_error)
        await device.start()
        await bus.wait_until_connected(5)
        assert len(await bus.read_holding_registers(0, 4)) == 4


async def test_unplugging_ends_a_question(supervise: Supervise) -> None:
    """Who waits for an answer learns of the pulled plug at once, not at the deadline."""
    async with PtyBus(rtu_device({300: 9.0})) as line:
        bus = await supervise(line.config(timeout=10.0))
        question = asyncio.create_task(bus.read_holding_registers(300), name="question")
        await line.was_asked(2)
        line.unplug()
        async with asyncio.timeout(1):
            with pytest.raises(TransientError, match="unplugged"):
                await question


async def test_a_cancelled_attempt_leaves_nothing_open() -> None:
    """Whenever an attempt is cancelled, the port is free for the next one."""
    async with PtyBus(rtu_device()) as line:
        for rounds in range(20):
            bus = ModbusConnection("bus", line.config(silence=0.01), None)
            attempt = asyncio.create_task(bus.connect(), name="attempt")
            for _ in range(rounds):
                await asyncio.sleep(0.0003)
            attempt.cancel()
            await asyncio.wait([attempt])
            await bus.disconnect()
            await asyncio.sleep(0.01)  # the thread that was left alone closes what it opens
        bus = ModbusConnection("bus", line.config(silence=0.01), None)
        assert await bus.connect()
        await bus.disconnect()


@pytest.mark.needs("socat")
async def test_a_line_of_socat(supervise: Supervise, tmp_path: Path) -> None:
    """A pty pair that is not ours, with pymodbus' server at its other end."""
    near, far = tmp_path / "near", tmp_path / "far"
    socat = await asyncio.create_subprocess_exec(
        shutil.which("socat") or "socat", f"pty,raw,echo=0,link={near}", f"pty,raw,echo=0,link={far}"
    )
    try:
        async with asyncio.timeout(5):
            while not (near.exists() and far.exists()):
                await asyncio.sleep(0.01)
        from pymodbus.server import ModbusSerialServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        server = ModbusSerialServer(
            SimDevice(id=1, simdata=[SimData(0, count=400, values=7, datatype=DataType.REGISTERS)]),
            port=str(far),
            reconnect_delay=0,
        )
        await server.serve_forever(background=True)
        bus = await supervise({"transport": "rtu", "port": str(near), "baudrate": 115200, "silence": 0.1})
        assert await bus.read_holding_registers(0, 125) == [7] * 125
        await bus.write_registers(10, [1, 2, 3])
        assert await bus.read_holding_registers(9, 5) == [7, 1, 2, 3, 7]
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus has no annotation there
    finally:
        socat.terminate()
        await socat.wait()
    async with asyncio.timeout(2):
        while bus.status is ConnectionStatus.CONNECTED:
            await asyncio.sleep(0.01)


def test_errors_of_the_system() -> None:
    """Without permission the message names the group; it is tried again, since udev grants it a moment late."""
    from connmgr_modbus.serial_port import explained

    error = explained("/dev/ttyUSB0", PermissionError(errno.EACCES, "Permission denied"))
    assert isinstance(error, TransientError)
    assert "dialout" in str(error)
