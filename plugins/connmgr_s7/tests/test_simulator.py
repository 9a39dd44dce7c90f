"""The simulated PLC: moves, goes away at once, and comes back where it was."""

import asyncio
import struct
import threading

import pytest

from connmgr_s7 import S7Connection
from connmgr_s7.simulator import S7Simulator


async def test_values_change() -> None:
    """Counter, temperature and pressure move with every period."""
    async with S7Simulator(port=0, period=0.01) as plc:
        await asyncio.sleep(0.02)
        first = struct.unpack(">ihf", plc.peek(1, 0, 10))
        await asyncio.sleep(0.5)
        second = struct.unpack(">ihf", plc.peek(1, 0, 10))
        assert second[0] >= first[0] + 5
        assert second[2] != first[2]


def test_the_default_period_is_the_seeds() -> None:
    """Once in 0.5 to 1 s, on port 1102."""
    assert 0.5 <= S7Simulator().period <= 1
    assert S7Simulator().config == {"host": "127.0.0.1", "port": 1102, "rack": 0, "slot": 1}


async def test_the_alarm_can_be_written_and_stays() -> None:
    """Only a crossing of the limit changes it, so that a written value can be seen."""
    async with S7Simulator(port=0, period=0.01) as plc:
        connection = S7Connection("plc", plc.config, None)
        await connection.connect()
        await connection.read_modify_write_byte_bit(1, 10, 0, value=True)
        await asyncio.sleep(0.03)
        assert plc.peek(1, 10, 1) == b"\x01"
        await connection.disconnect()


async def test_the_alarm_comes_and_goes_with_the_temperature() -> None:
    """Over one swing of the temperature, without a client."""
    plc = S7Simulator()
    seen = set()
    for _ in range(260):
        plc._process.step()
        (temperature,) = struct.unpack(">h", plc.peek(1, 4, 2))
        seen.add((plc.peek(1, 10, 1)[0], temperature > 246, temperature < 234))
    assert {(1, True, False), (0, False, True)} <= seen
    assert not {(0, True, False), (1, False, True)} & seen


async def test_a_taken_port_is_reported() -> None:
    """The library would share it silently."""
    async with S7Simulator(port=0) as plc:
        with pytest.raises(OSError, match="in use"):
            await S7Simulator(port=plc.port).start()


async def test_it_listens_on_its_own_address_only() -> None:
    """A simulated PLC has no business on the plant's network."""
    async with S7Simulator(port=0) as plc:
        assert plc._plc is not None
        assert plc._plc.server_socket is not None
        assert plc._plc.server_socket.getsockname() == ("127.0.0.1", plc.port)
        assert plc.endpoint == f"127.0.0.1:{plc.port}"


async def test_stop_closes_clients_ends_threads_and_frees_the_port() -> None:
    """Within a second, with clients that are connected, half-way through connecting, and silent."""
    threads = set(threading.enumerate())
    plc = S7Simulator(port=0)
    await plc.stop()
    await plc.start()
    port = plc.port
    connection = S7Connection("plc", plc.config, None)
    lost = asyncio.Event()
    connection.connection_lost = lambda reason: lost.set()  # type: ignore[method-assign]
    await connection.connect()
    reader, writer = await asyncio.open_connection(plc.host, int(plc.port))
    writer.write(b"\x03\x00")
    await asyncio.sleep(0.05)
    async with asyncio.timeout(1):
        await plc.stop()
        assert await reader.read() == b""
        await lost.wait()
    writer.close()
    await connection.disconnect()
    named = [thread.name for thread in set(threading.enumerate()) - threads]
    assert [name for name in named if not name.startswith("asyncio_")] == []
    for _ in range(3):
        await plc.start()
        assert plc.port == port
        await plc.stop()


async def test_contents_outlive_a_stop() -> None:
    """As in a PLC with retentive blocks."""
    plc = S7Simulator(port=0)
    for data in (b"first", b"again"):
        async with plc:
            connection = S7Connection("plc", plc.config, None)
            await connection.connect()
            await connection.write_db(2, 0, data)
            await connection.disconnect()
        assert plc.peek(2, 0, 5) == data
