"""A late answer on RTU, which does not say which question it belongs to, is never taken for the next one."""

import asyncio

import pytest

from connmgr import ConnmgrError, NoAnswerError, NotConnectedError, TransientError
from connmgr_modbus.tests.bus import GatewayBus, PtyBus, crc, rtu_device, tardy_device
from connmgr_modbus.tests.conftest import Supervise

SLOW, FAST, NEXT = 100, 7, 300
LONG_ENOUGH = {"timeout": 0.4, "silence": 0.8}
# Unguarded, the next question would be under way when the late answer comes: asked at about 0.5 s, answered at 0.8 s.
LATE = {SLOW: 0.7, NEXT: 0.3}

both = pytest.mark.parametrize("bus_class", [PtyBus, GatewayBus])


@both
async def test_after_a_timeout(bus_class: type[PtyBus | GatewayBus], supervise: Supervise) -> None:
    """The answer to 100 comes after its deadline; whoever asks 300 next gets 300, and so does everybody after."""
    async with bus_class(rtu_device(LATE)) as bus:
        connection = await supervise(bus.config(**LONG_ENOUGH))
        with pytest.raises(NoAnswerError):
            await connection.read_holding_registers(SLOW)
        await connection.wait_until_connected(5)
        assert await connection.read_holding_registers(NEXT) == [NEXT]
        assert await connection.read_holding_registers(FAST) == [FAST]


@both
async def test_after_a_cancellation(bus_class: type[PtyBus | GatewayBus], supervise: Supervise) -> None:
    """A call cancelled between its question and its answer leaves nothing behind for the next call."""
    async with bus_class(rtu_device({SLOW: 0.4, NEXT: 0.35})) as bus:
        connection = await supervise(bus.config(timeout=1.0, silence=0.8))
        before = len(bus.asked)
        question = asyncio.create_task(connection.read_holding_registers(SLOW), name="cancelled")
        await bus.was_asked(before + 1)
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        with pytest.raises(NotConnectedError):
            await connection.read_holding_registers(NEXT)
        await connection.wait_until_connected(5)
        assert await connection.read_holding_registers(NEXT) == [NEXT]
        assert await connection.read_holding_registers(FAST) == [FAST]


@both
async def test_negative_control(bus_class: type[PtyBus | GatewayBus], supervise: Supervise) -> None:
    """With a silence shorter than the device needs, the wrong value is really seen."""
    async with bus_class(tardy_device(SLOW)) as bus:
        connection = await supervise(bus.config(timeout=0.2, silence=0.01))
        with pytest.raises(NoAnswerError):
            await connection.read_holding_registers(SLOW)
        await connection.wait_until_connected(5)
        assert await connection.read_holding_registers(NEXT) == [SLOW]


@both
async def test_negative_control_of_a_cancellation(bus_class: type[PtyBus | GatewayBus], supervise: Supervise) -> None:
    """The same after a cancellation."""
    async with bus_class(tardy_device(SLOW)) as bus:
        connection = await supervise(bus.config(silence=0.01))
        before = len(bus.asked)
        question = asyncio.create_task(connection.read_holding_registers(SLOW), name="cancelled")
        await bus.was_asked(before + 1)
        question.cancel()
        await asyncio.wait([question])
        await connection.wait_until_connected(5)
        assert await connection.read_holding_registers(NEXT) == [SLOW]


@both
async def test_another_kind_of_late_answer(bus_class: type[PtyBus | GatewayBus], supervise: Supervise) -> None:
    """Even with too short a silence, a late answer of another unit, function or length is told from the right one."""
    async with bus_class(tardy_device(SLOW)) as bus:
        connection = await supervise(bus.config(timeout=0.2, silence=0.01))
        with pytest.raises(NoAnswerError):
            await connection.read_holding_registers(SLOW, 2, unit=7)
        await connection.wait_until_connected(5)
        with pytest.raises(TransientError, match="wrong answer"):
            await connection.read_holding_registers(NEXT)


@both
async def test_many_questions_and_cancellations(bus_class: type[PtyBus | GatewayBus], supervise: Supervise) -> None:
    """Whatever is cancelled or late, every value that anybody gets is the one that was asked for."""
    delays = {address: (address % 5) * 0.03 for address in range(1, 60)}
    async with bus_class(rtu_device(delays)) as bus:
        connection = await supervise(bus.config(timeout=0.07, silence=0.13))
        right = failed = 0

        async def ask(address: int) -> None:
            nonlocal right, failed
            try:
                async with asyncio.timeout(0.02 + address % 7 * 0.015):
                    values = await connection.read_holding_registers(address)
            except (ConnmgrError, TimeoutError):
                failed += 1
            else:
                assert values == [address]
                right += 1

        for address in range(1, 60):
            await ask(address)
            if address % 3 == 0:
                await connection.wait_until_connected(5)
        assert right > 5
        assert failed > 5


async def test_a_new_process_waits_too(supervise: Supervise) -> None:
    """Who used the line before is unknown at first, so the first question also waits until old answers are over."""
    async with PtyBus(rtu_device({SLOW: 0.3})) as bus:
        bus.take(crc(bytes([1, 3, 0, SLOW, 0, 1])))  # asked by somebody who is gone
        loop = asyncio.get_running_loop()
        began = loop.time()
        connection = await supervise(bus.config(silence=0.8))
        assert loop.time() - began >= 0.8
        assert await connection.read_holding_registers(0) == [0]


async def test_an_idle_line_comes_back_without_waiting(supervise: Supervise) -> None:
    """A gateway that hangs up while nobody asks owes no answer: the link is back at once."""
    async with GatewayBus(rtu_device()) as bus:
        connection = await supervise(bus.config(silence=2.0))
        loop = asyncio.get_running_loop()
        began = loop.time()
        bus.hang_up()
        while connection.is_connected():
            await asyncio.sleep(0.001)
        await connection.wait_until_connected(5)
        assert loop.time() - began < 0.5


@both
async def test_an_answer_that_nobody_asked_for(bus_class: type[PtyBus | GatewayBus], supervise: Supervise) -> None:
    """A whole frame out of nothing breaks the link: somebody's questions and answers are out of step."""
    async with bus_class(rtu_device()) as bus:
        connection = await supervise(bus.config(silence=0.2))
        before = len(bus.asked)
        bus.say(crc(bytes([1, 3, 2, 0, 5])))
        await bus.was_asked(before + 1)  # the proof of the next session
        await connection.wait_until_connected(5)
        assert await connection.read_holding_registers(NEXT) == [NEXT]


async def test_a_line_that_never_is_quiet(supervise: Supervise) -> None:
    """A second master on the bus is named as the reason."""
    async with PtyBus(rtu_device()) as bus:
        connection = await supervise(bus.config(silence=0.01), up=False, connection_timeout=5)
        async with asyncio.timeout(20):
            while "only one master" not in str(connection.last_error):
                bus.say(b"\x01\x03")
                await asyncio.sleep(0.01)
