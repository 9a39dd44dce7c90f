"""Reads and writes on a healthy link."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from connmgr import NotConnectedError, RefusedError
from connmgr_s7 import S7Connection
from connmgr_s7.addresses import Memory
from connmgr_s7.simulator import S7Simulator

Supervise = Callable[..., Awaitable[S7Connection]]  # see conftest.py


async def test_reads_the_workshop_block(plc: S7Simulator, supervise: Supervise) -> None:
    """DB1 holds a DINT, an INT, a REAL, a BOOL and a BYTE, as in the seeds."""
    connection = await supervise(plc.config)
    data = await connection.read_db(1, 0, 12)
    counter, temperature, pressure = struct.unpack_from(">ihf", data)
    assert counter >= 1
    assert 210 <= temperature <= 260
    assert 3 <= pressure <= 5
    assert type(data) is bytes


@pytest.mark.parametrize(("pdu", "reads", "writes"), [(240, 5, 5), (480, 3, 3)])
async def test_what_does_not_fit_into_one_telegram_takes_several(
    plc: S7Simulator, supervise: Supervise, pdu: int, reads: int, writes: int
) -> None:
    """1000 bytes there and back, with the granted telegram size and the number of telegrams it takes."""
    connection = await supervise({**plc.config, "pdu": pdu})
    assert connection.pdu == pdu
    data = bytes(index % 251 for index in range(1000))
    before = connection.stats["packets_sent"]
    await connection.write_db(2, 7, data)
    assert connection.stats["packets_sent"] - before == writes
    assert await connection.read_db(2, 7, 1000) == data == plc.peek(2, 7, 1000)
    assert connection.stats["packets_sent"] - before == writes + reads


async def test_a_smaller_grant_than_asked_for_is_used(plc: S7Simulator, supervise: Supervise) -> None:
    """The Python server grants 480 at most; asked for 960, reads are split at 480."""
    connection = await supervise({**plc.config, "pdu": 960})
    assert connection.pdu == 480
    assert len(await connection.read_db(2, 0, 900)) == 900


async def test_inputs_outputs_and_flags(plc: S7Simulator, supervise: Supervise) -> None:
    """Three areas, none of which is another."""
    connection = await supervise(plc.config)
    areas: tuple[Memory, ...] = ("I", "Q", "M")
    for area in areas:
        await connection.write_area(area, 3, area.encode() * 2)
    for area in areas:
        assert await connection.read_area(area, 3, 2) == area.encode() * 2


async def test_every_kind_of_bytes_can_be_written(plc: S7Simulator, supervise: Supervise) -> None:
    """bytes, bytearray and memoryview."""
    connection = await supervise(plc.config)
    for data in (b"ab", bytearray(b"cd"), memoryview(b"ef")):
        await connection.write_db(2, 0, data)
        assert plc.peek(2, 0, 2) == bytes(data)


@pytest.mark.parametrize(("db", "start"), [(99, 0), (1, 5000)])
async def test_a_refusal_leaves_the_link_alone(plc: S7Simulator, supervise: Supervise, db: int, start: int) -> None:
    """A missing block or a short one is told with its remedy; the session goes on."""
    connection = await supervise(plc.config)
    session = connection._session
    with pytest.raises(RefusedError, match=rf"cannot read DB{db}\.DBB{start}\.\.{start + 1}: "):
        await connection.read_db(db, start, 2)
    with pytest.raises(RefusedError, match=rf"cannot write DB{db}\.DBB{start}: "):
        await connection.write_db(db, start, b"x")
    with pytest.raises(RefusedError):
        await connection.read_modify_write_byte_bit(db, start, 0, value=True)
    assert len(await connection.read_db(1, 0, 12)) == 12
    assert connection._session is session


async def test_setting_a_bit_keeps_its_neighbours(plc: S7Simulator, supervise: Supervise) -> None:
    """Each bit of a byte, on and off."""
    connection = await supervise(plc.config)
    for bit in range(8):
        await connection.write_db(2, 5, b"\x00")
        await connection.read_modify_write_byte_bit(2, 5, bit, value=True)
        assert plc.peek(2, 5, 1)[0] == 1 << bit
        await connection.write_db(2, 5, b"\xff")
        await connection.read_modify_write_byte_bit(2, 5, bit, value=False)
        assert plc.peek(2, 5, 1)[0] == 0xFF ^ 1 << bit


async def test_eight_callers_never_lose_each_others_bits(plc: S7Simulator, supervise: Supervise) -> None:
    """The whole of read-modify-write has the link to itself."""
    connection = await supervise(plc.config)

    async def toggle(bit: int) -> None:
        for value in (True, False, True, True, False) * 8 + (bit % 2 == 0,):
            await connection.read_modify_write_byte_bit(2, 9, bit, value)
            assert bool(plc.peek(2, 9, 1)[0] >> bit & 1) is value
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for bit in range(8):
            group.create_task(toggle(bit))
    assert plc.peek(2, 9, 1) == b"\x55"


async def test_an_unknown_plc_is_healthy_when_it_answers_at_all(supervise: Supervise) -> None:
    """Without a configured block MB0 is read; a PLC that refuses to show it is alive nevertheless."""
    async with S7Simulator(port=0) as plc:
        plc._memory.clear()
        await plc.start()
        connection = await supervise(plc.config)
        with pytest.raises(RefusedError):
            await connection.read_area("M", 0, 1)
        assert await connection.health_check() is True


@pytest.mark.parametrize("area", [{"db": 2}, {"db": 1, "start": 4, "size": 8}])
async def test_a_configured_block_is_what_the_health_check_reads(
    plc: S7Simulator, supervise: Supervise, area: dict[str, int]
) -> None:
    """It is read over the network, once."""
    connection = await supervise({**plc.config, "health_check": area})
    before = connection.stats["packets_received"]
    assert await connection.health_check() is True
    assert connection.stats["packets_received"] == before + 1


async def test_a_configured_block_that_is_not_there_fails_the_health_check(
    plc: S7Simulator, supervise: Supervise
) -> None:
    """The operator said what has to be readable, so a refusal is a failure and says which block."""
    connection = await supervise({**plc.config, "health_check": {"db": 77}})
    with pytest.raises(RefusedError, match=r"DB77\.DBB0"):
        await connection.health_check()


async def test_traffic_is_counted_in_bytes_on_the_wire(plc: S7Simulator, supervise: Supervise) -> None:
    """A read of 12 bytes is a telegram of 31 bytes and an answer of 37."""
    connection = await supervise(plc.config)
    before: dict[str, Any] = dict(connection.stats)
    await connection.read_db(1, 0, 12)
    after: dict[str, Any] = dict(connection.stats)
    counted = {name: after[name] - before[name] for name in before if name != "last_activity"}
    assert counted == {"packets_sent": 1, "packets_received": 1, "bytes_sent": 31, "bytes_received": 37, "errors": 0}


async def test_the_socket_is_kept_alive(plc: S7Simulator, supervise: Supervise) -> None:
    """The library leaves TCP keepalive off."""
    connection = await supervise(plc.config)
    assert connection._session is not None
    transport = connection._session._transport()
    assert transport is not None
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15


async def test_a_session_by_hand(plc: S7Simulator) -> None:
    """Without a manager: nothing before connect, everything after it, nothing after disconnect, and again."""
    connection = S7Connection("plc", plc.config, None)
    for _ in range(3):
        with pytest.raises(NotConnectedError, match="plc"):
            await connection.read_db(1, 0, 4)
        assert connection.pdu is None
        assert await connection.connect() is True
        assert connection.is_connected()
        assert len(await connection.read_db(1, 0, 4)) == 4
        assert await connection.disconnect() is True
        assert not connection.is_connected()
    assert await connection.disconnect() is True
