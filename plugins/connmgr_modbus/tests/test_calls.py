"""Reading and writing, against pymodbus' own server and against devices that do not keep to the protocol."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from connmgr import NoAnswerError, NotConnectedError, RefusedError, TransientError
from connmgr_modbus import ModbusConnection
from connmgr_modbus.connection import ModbusRefusedError
from connmgr_modbus.simulator import ModbusSimulator
from connmgr_modbus.tests.bus import GatewayBus, PtyBus, TcpBus, crc, rtu_device
from connmgr_modbus.tests.conftest import Supervise

Dial = Callable[[Mapping[str, Any]], Awaitable[ModbusConnection]]


def mbap(request: bytes, told: bytes, *, number: int | None = None, unit: int | None = None, length: int = 0) -> bytes:
    """An answer to `request`, with whatever envelope is asked for."""
    number = int.from_bytes(request[:2]) if number is None else number
    unit = request[6] if unit is None else unit
    return struct.pack(">HHHB", number, 0, length or len(told) + 1, unit) + told


async def test_values_and_bits(dial: Dial) -> None:
    """What is written is what is read, each table in its own type, exactly as many as were asked for."""
    async with ModbusSimulator(port=0) as device:
        bus = await dial(device.config)
        await bus.write_register(100, 65535)
        await bus.write_registers(101, [1, 2, 3])
        assert await bus.read_holding_registers(100, 4) == [65535, 1, 2, 3]
        await bus.mask_write_register(100, 0x00F0, 0x0005)
        assert await bus.read_holding_registers(100) == [0x00F5]
        await bus.write_coil(3, True)
        await bus.write_coils(4, [True, False, True])
        assert await bus.read_coils(3, 4) == [True, True, False, True]
        assert len(await bus.read_discrete_inputs(0, 3)) == 3
        (counter,) = await bus.read_input_registers(0)
        assert 0 <= counter <= 20


async def test_units_share_the_link(dial: Dial) -> None:
    """Two units are asked over one connection, at the same time, and each answers for itself."""
    async with ModbusSimulator(port=0) as device:
        bus = await dial(device.config)
        await asyncio.gather(*(bus.write_register(100, unit * 11, unit=unit) for unit in (1, 2)))
        asked = [bus.read_holding_registers(100, unit=unit) for unit in (1, 2) * 10]
        assert await asyncio.gather(*asked) == [[11], [22]] * 10


async def test_a_refusal_leaves_the_link(dial: Dial) -> None:
    """An exception of the unit says what was refused and why, and the next call works."""
    async with ModbusSimulator(port=0) as device:
        bus = await dial(device.config)
        with pytest.raises(ModbusRefusedError) as refused:
            await bus.read_holding_registers(5000, 2)
        assert isinstance(refused.value, RefusedError)
        assert refused.value.code == 2
        assert str(refused.value) == (
            "cannot read_holding_registers at address 5000 of unit 1: illegal address (exception 2 to function 3)"
        )
        assert len(await bus.read_holding_registers(0, 4)) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        lambda bus: bus.read_holding_registers(0, 126),
        lambda bus: bus.read_holding_registers(0, 0),
        lambda bus: bus.read_input_registers(65_530, 7),
        lambda bus: bus.read_coils(0, 2001),
        lambda bus: bus.read_discrete_inputs(-1),
        lambda bus: bus.write_registers(0, [0] * 124),
        lambda bus: bus.write_registers(0, []),
        lambda bus: bus.write_coils(0, [True] * 1969),
        lambda bus: bus.write_register(0, -1),
        lambda bus: bus.write_register(0, 65_536),
        lambda bus: bus.mask_write_register(0, 65_536, 0),
        lambda bus: bus.read_coils(0, unit=256),
    ],
)
async def test_what_modbus_cannot_express(wrong: Callable[[ModbusConnection], Awaitable[Any]], dial: Dial) -> None:
    """Limits are checked before anything is sent, and the link stays."""
    async with TcpBus(lambda request: [(0, mbap(request, bytes([3, 2, 0, 0])))]) as device:
        bus = await dial(device.config())
        with pytest.raises(ValueError, match="cannot"):
            await wrong(bus)
        assert len(device.asked) == 1  # the proof of connect()
        assert await bus.health_check()


async def test_the_largest_requests(dial: Dial) -> None:
    """125 registers and 2000 bits come in one answer, also over RTU."""
    for bus_class, envelope in ((TcpBus, mbap), (GatewayBus, lambda request, told: crc(request[:1] + told))):

        def answer(request: bytes, envelope: Callable[[bytes, bytes], bytes] = envelope) -> list[tuple[float, bytes]]:
            function, _, count = struct.unpack(">BHH", request[7:12] if len(request) == 12 else request[1:6])
            size = 2 * count if function == 3 else (count + 7) // 8
            return [(0, envelope(request, bytes([function, size]) + b"\xa5" * size))]

        async with bus_class(answer) as device:
            bus = await dial(device.config())
            assert await bus.read_holding_registers(0, 125) == [0xA5A5] * 125
            assert await bus.read_coils(0, 1999) == ([True, False, True, False, False, True, False, True] * 250)[:1999]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (lambda r: mbap(r, b"\x03\x02\0\0", unit=9), "wrong answer.*unit 9"),
        (lambda r: mbap(r, b"\x04\x02\0\0"), "wrong answer.*function 4"),
        (lambda r: mbap(r, b"\x03\x00"), "wrong answer"),
        (lambda r: mbap(r, b"\x03\x04\0\0\0\0"), "wrong answer"),
        (lambda r: mbap(r, b"\x83"), "not Modbus TCP"),
        (lambda r: mbap(r, b"\x84\x02"), "wrong answer"),
        (lambda r: mbap(r, b"\x03\x02\0\0", length=300), "not Modbus TCP"),
        (lambda r: mbap(r, b"\x03\x02\0\0", length=0x0100), "not Modbus TCP"),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n", "not Modbus TCP"),
        (lambda r: mbap(r, b"\x03\x02\0\0", number=0), "no answer within"),
        (lambda r: mbap(r, b"\x03\x02\0\0", number=77), "no answer within"),
        (lambda r: mbap(r, b"\x03\x02\0\0")[:-1], "no answer within"),
    ],
)
async def test_wrong_answers_over_tcp(said: Callable[[bytes], bytes], reason: str, dial: Dial) -> None:
    """Another unit, function, length or number, or another protocol, is no answer, and breaks the link."""
    async with TcpBus(lambda request: [(0, said(request))]) as device:
        bus = ModbusConnection("bus", device.config(timeout=0.2), None)
        with pytest.raises(TransientError, match=reason):
            await bus.connect()
        assert not bus.is_connected()
        await bus.disconnect()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (lambda _: crc(b"\x09\x03\x02\0\0"), "wrong answer.*unit 9"),
        (lambda _: crc(b"\x01\x04\x02\0\0"), "wrong answer.*function 4"),
        (lambda _: crc(b"\x01\x03\x04\0\0\0\0"), "wrong answer"),
        (lambda request: request, "set local_echo"),
        (lambda _: 2 * crc(b"\x01\x03\x02\0\0"), "more than one answer"),
        (lambda _: b"U" * 64, "wrong answer"),
        (lambda _: crc(b"\x01\x03\x02\0\0")[:-1] + b"!", "no answer within"),
        (lambda _: b"\x01\x03", "no answer within"),
    ],
)
@pytest.mark.parametrize("bus_class", [PtyBus, GatewayBus])
async def test_wrong_answers_over_rtu(
    bus_class: type[PtyBus | GatewayBus], said: Callable[[bytes], bytes], reason: str
) -> None:
    """Another unit, function or length, a bad checksum, our own echo or two answers are no answer."""
    async with bus_class(lambda request: [(0, said(request))]) as device:
        bus = ModbusConnection("bus", device.config(timeout=0.2, silence=0.01), None)
        with pytest.raises(TransientError, match=reason):
            await bus.connect()
        assert not bus.is_connected()
        await bus.disconnect()


async def test_noise_round_an_answer(dial: Dial) -> None:
    """A few invented bytes before and after a frame, as a driver makes them when it is switched, do no harm."""
    async with PtyBus(lambda request: [(0, b"\0\xff" + rtu_device()(request)[0][1] + b"\0")]) as device:
        bus = await dial(device.config())
        assert await bus.read_holding_registers(300, 3) == [300, 301, 302]
        assert await bus.read_holding_registers(400) == [400]


async def test_local_echo(dial: Dial) -> None:
    """An adapter that hears itself: the echo is dropped, the answer is kept, also for a write that looks the same."""

    def device(request: bytes) -> list[tuple[float, bytes]]:
        answer = request if request[1] == 6 else rtu_device()(request)[0][1]
        return [(0, request), (0.01, answer)]

    async with PtyBus(device) as line:
        bus = await dial(line.config(local_echo=True))
        assert await bus.read_holding_registers(300) == [300]
        await bus.write_register(100, 5)
        assert await bus.read_holding_registers(7) == [7]


async def test_broadcast_on_rtu(dial: Dial) -> None:
    """Unit 0 is written to without waiting for an answer, and cannot be read."""
    async with PtyBus(lambda request: rtu_device()(request) if request[0] else []) as line:
        bus = await dial(line.config())
        await bus.write_register(100, 5, unit=0)
        assert line.asked[-1] == crc(b"\x00\x06\x00\x64\x00\x05")
        with pytest.raises(ValueError, match="unit 0"):
            await bus.read_holding_registers(100, unit=0)
        assert await bus.read_holding_registers(7) == [7]


async def test_a_refused_health_check_is_life(dial: Dial) -> None:
    """A unit without the register that is asked for lives; one that its gateway misses does not."""
    async with TcpBus(lambda request: [(0, mbap(request, b"\x83\x02"))]) as device:
        assert await (await dial(device.config())).health_check()
    async with TcpBus(lambda request: [(0, mbap(request, b"\x83\x0b"))]) as device:
        bus = ModbusConnection("bus", device.config(), None)
        with pytest.raises(TransientError, match="gateway no response"):
            await bus.connect()
        await bus.disconnect()


@pytest.mark.parametrize(("kind", "function"), [("holding", 3), ("input", 4), ("coil", 1), ("discrete", 2)])
async def test_what_the_health_check_reads(kind: str, function: int, dial: Dial) -> None:
    """The table, address and unit of the health check can be chosen."""
    async with TcpBus(lambda request: [(0, mbap(request, bytes([request[7] | 0x80, 2])))]) as device:
        await dial(device.config(health_check={"kind": kind, "address": 513, "unit": 17}))
        assert device.asked[0][6:] == bytes([17, function, 2, 1, 0, 1])


async def test_a_peer_that_closes(supervise: Supervise) -> None:
    """A closed connection is noticed without a call, and who waits for an answer learns of it at once."""
    async with TcpBus(lambda request: [(0, mbap(request, b"\x03\x02\0\x07"))] if request[9] == 0 else []) as device:
        bus = await supervise(device.config(timeout=10))
        question = asyncio.create_task(bus.read_holding_registers(300), name="question")
        await device.was_asked(2)
        device.hang_up()
        async with asyncio.timeout(1):
            with pytest.raises(TransientError, match="closed the connection"):
                await question
            await bus.wait_until_connected(5)
        assert await bus.read_holding_registers(0) == [7]


async def test_numbers_go_on_over_sessions(supervise: Supervise) -> None:
    """A new session does not use the transaction ids of the one before, so nothing from there fits."""
    async with TcpBus(lambda request: [(0, mbap(request, b"\x03\x02\0\x07"))]) as device:
        bus = await supervise(device.config())
        device.hang_up()
        await device.was_asked(2)
        await bus.wait_until_connected(5)
        numbers = [int.from_bytes(request[:2]) for request in device.asked]
        assert len(set(numbers)) == len(numbers)


async def test_a_peer_that_never_answers(supervise: Supervise) -> None:
    """A call has one deadline, and the link is reopened after it."""
    async with TcpBus(lambda request: [(0, mbap(request, b"\x03\x02\0\x07"))] if request[9] == 0 else []) as device:
        bus = await supervise(device.config(timeout=0.1))
        with pytest.raises(NoAnswerError, match=r"no answer within 0.1 s"):
            await bus.read_holding_registers(300)
        with pytest.raises(NotConnectedError):
            await bus.read_holding_registers(0)
        await bus.wait_until_connected(5)
        assert await bus.read_holding_registers(0) == [7]


async def test_before_connecting() -> None:
    """A connection that is not open says so."""
    bus = ModbusConnection("bus", {"host": "192.0.2.1"}, None)
    with pytest.raises(NotConnectedError, match=r"cannot use 192.0.2.1:502"):
        await bus.read_holding_registers(0)
    assert not bus.is_connected()
    assert await bus.disconnect()
