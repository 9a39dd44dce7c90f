"""The simulated device: what it says, and taking it away and back."""

import asyncio
import os
from pathlib import Path

import pytest

from connmgr_serial.simulator import SerialSimulator
from connmgr_serial.tests.conftest import Dial


def is_there(path: str) -> bool:
    """Whether there is anything at all, a dangling link included."""
    return os.path.lexists(path)


async def test_what_it_says(dial: Dial) -> None:
    """A line for a line; the temperature is one that could be."""
    async with SerialSimulator(port=0) as device:
        connection = await dial(device.config)
        assert await connection.request(b"PING\n") == b"PONG"
        assert 20 <= float(await connection.request(b"TEMP\r\n")) <= 25
        assert [await connection.request(b"COUNT\n") for _ in range(2)] == [b"1", b"2"]
        assert await connection.request(b"ECHO a b\n") == b"a b"
        assert b"simulated" in await connection.request(b"ID\n")
        assert await connection.request(b"\n") == b"ERR"


async def test_away_and_back(dial: Dial) -> None:
    """Stopping is pulling the plug; it comes back at the same path."""
    device = SerialSimulator(port=0)
    path = device.endpoint
    async with device:
        connection = await dial(device.config)
        await device.stop()
        await device.stop()
        assert not is_there(path)
        async with asyncio.timeout(1):
            while connection.is_connected():
                await asyncio.sleep(0.001)
        await connection.disconnect()
        await device.start()
        await device.start()
        assert device.config["port"] == path
        assert await connection.connect()
    assert not is_there(path)


async def test_two_of_them() -> None:
    """With port 0 each finds a path of its own; without one it is the default."""
    async with SerialSimulator(port=0) as one, SerialSimulator(port=0) as other:
        assert one.endpoint != other.endpoint
    assert SerialSimulator().endpoint == "/tmp/connmgr-serial"


async def test_a_path_that_is_taken(tmp_path: Path) -> None:
    """Something else at its path is left alone; the leftover of a simulator that has died is replaced."""
    path = tmp_path / "port"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="taken"):
        await SerialSimulator(port=str(path)).start()
    assert path.read_text() == "precious"
    path.unlink()
    path.symlink_to("/dev/pts/999999")
    async with SerialSimulator(port=str(path)):
        with pytest.raises(FileExistsError, match="taken"):
            await SerialSimulator(port=str(path)).start()
    with pytest.raises(FileNotFoundError):
        await SerialSimulator(port=str(tmp_path / "no" / "such")).start()
