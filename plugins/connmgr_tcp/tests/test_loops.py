"""The same under both event loops that the daemon may run on."""

import asyncio
from collections.abc import Callable

import pytest

from connmgr import NoAnswerError, NotConnectedError
from connmgr_tcp import TcpConnection
from connmgr_tcp.simulator import TcpSimulator
from connmgr_tcp.tests.device import Device


def uvloops() -> asyncio.AbstractEventLoop:
    """A loop of uvloop's."""
    uvloop = pytest.importorskip("uvloop")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def one_life() -> None:
    async with TcpSimulator(port=0) as simulator:
        line = TcpConnection("line", simulator.config, None)
        for _ in range(2):
            await line.connect()
            assert await line.health_check() is True
            assert await line.request(b"ECHO 21.5\n") == b"21.5"
            await simulator.stop()
            async with asyncio.timeout(1):
                with pytest.raises(NotConnectedError):
                    await line.receive_data()
            await line.disconnect()
            await simulator.start()


async def old_bytes() -> None:
    async with Device(lambda _: b"new\n") as device:
        line = TcpConnection("line", device.config(max_line=1000), None)
        await line.connect()
        await device.accepted()
        device.say(b"old\n" * 20_000)
        assert await line.request(b"?\n") == b"new"
        device.clients[-1].pause_reading()
        with pytest.raises(NoAnswerError):
            await line.send_data(bytes(50_000_000), timeout=0.1)
        await line.disconnect()


@pytest.mark.parametrize("scenario", [one_life, old_bytes])
@pytest.mark.parametrize(
    "loop",
    [
        asyncio.new_event_loop,
        pytest.param(uvloops, marks=pytest.mark.leaves_behind("libuv keeps a pipe for signals once it was used")),
    ],
)
def test_both_loops(loop: Callable[[], asyncio.AbstractEventLoop], scenario: Callable[[], object]) -> None:
    """Requests, losses, backpressure and stale bytes."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())  # type: ignore[arg-type]  # pytest's parameters have no type
