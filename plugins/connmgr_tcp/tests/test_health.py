"""Opening, and the health check."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import ValidationError

from connmgr import NoAnswerError, NotConnectedError, TransientError
from connmgr.testing import FaultProxy
from connmgr_tcp.options import TcpOptions
from connmgr_tcp.simulator import TcpSimulator
from connmgr_tcp.tests.conftest import Line
from connmgr_tcp.tests.device import Device

Dial = Callable[[dict[str, Any]], Awaitable[Line]]
PING = {"send": "PING\n", "expect": "PONG"}


async def test_nobody_listens(dial: Dial) -> None:
    """The error names the endpoint and the reason."""
    async with TcpSimulator(port=0) as simulator:
        config = simulator.config
    with pytest.raises(TransientError, match=r"cannot connect tcp://127.0.0.1:\d+: .*(refused|failed)"):
        await dial(config)


async def test_nobody_answers(dial: Dial) -> None:
    """A device that accepts and is silent is not connected, and the attempt ends at `timeout`."""
    async with Device() as device:
        began = time.monotonic()
        with pytest.raises(
            NoAnswerError, match=r"cannot connect tcp://127.0.0.1:\d+: no answer with b'PONG' within 0.2 s"
        ):
            await dial(device.config(timeout=0.2, health_check=PING))
        assert time.monotonic() - began < 0.5
        await device.abandoned()


async def test_a_device_that_accepts_and_drops(dial: Dial) -> None:
    """With a health check the attempt fails."""
    async with TcpSimulator(port=0) as simulator, FaultProxy("127.0.0.1", int(simulator.port)) as proxy:
        proxy.accept_and_drop()
        with pytest.raises(TransientError, match=r"cannot connect tcp://.* (closed the connection|broke: .*)$"):
            await dial({**simulator.config, "port": proxy.port})


async def test_a_cancelled_connect() -> None:
    """It leaves no socket open, and disconnect copes."""
    async with Device() as device:
        line = Line("line", device.config(health_check=PING), None)
        connecting = asyncio.create_task(line.connect())
        await device.heard(b"PING\n")
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await device.abandoned()
        assert not line.is_connected()
        assert await line.disconnect() is True


async def test_nothing_is_sent_unasked(dial: Dial) -> None:
    """Without a configured question neither opening nor checking sends a single byte."""
    async with Device() as device:
        line = await dial(device.config())
        assert await line.health_check() is True
        await line.send_data(b"!")
        await device.heard(b"!")
        assert device.received == b"!"


async def test_the_check_leaves_the_stream_alone(dial: Dial) -> None:
    """It takes its own answer, wherever it stands, and everything else can still be read."""
    async with Device(lambda _: b"") as device:
        device.answer = lambda _: b"PONG\n"
        line = await dial(device.config(health_check=PING))
        device.say(b"T 21.5\nT 2")
        device.answer = lambda _: b"1.6\nOK PONG 7\nT 21.7\n"
        await asyncio.sleep(0.01)
        assert await line.health_check() is True
        assert await line.receive_data() == b"T 21.5\nT 21.6\nT 21.7\n"
        assert line.dropped_bytes == 0


async def test_an_old_pong_is_no_answer(dial: Dial) -> None:
    """Only a line that ends after the question was asked can be its answer."""
    async with Device(lambda _: b"PONG\n") as device:
        line = await dial(device.config(health_check=PING, timeout=0.1))
        device.answer = lambda _: b""
        device.say(b"PONG\n")
        await asyncio.sleep(0.01)
        with pytest.raises(NoAnswerError):
            await line.health_check()


async def test_a_check_in_bytes(dial: Dial) -> None:
    """`send_hex` and `expect_hex` need no lines."""
    async with Device(lambda data: b"\x02\x06\x03" if data == b"\x05" else b"") as device:
        line = await dial(device.config(health_check={"send_hex": "05", "expect_hex": "02 06"}))
        assert await line.health_check() is True
        assert await line.receive_data() == b"\x03\x03"  # connecting asked as well


async def test_a_wrong_answer(dial: Dial) -> None:
    """The reason quotes what the device said instead; the link is broken."""
    async with Device(lambda _: b"PONG\n") as device:
        line = await dial(device.config(health_check=PING, timeout=0.1))
        device.answer = lambda _: b"ERR 7\n"
        with pytest.raises(NoAnswerError, match=r"cannot check .* within 0.1 s; it said b'ERR 7\\n'"):
            await line.health_check()
        assert not line.is_connected()
        with pytest.raises(NotConnectedError):
            await line.health_check()


async def test_the_device_closes_during_the_check(dial: Dial) -> None:
    """The reason is the close, and not a missing answer."""
    async with Device(lambda _: b"PONG\n") as device:
        line = await dial(device.config(health_check=PING))
        device.answer = lambda _: device.hang_up()
        with pytest.raises(NoAnswerError, match=r"cannot check .*: the device closed the connection"):
            await line.health_check()


@pytest.mark.parametrize("check", [PING, {"send": "PING\n", "expect_hex": "50 4f 4e 47 0a"}])
async def test_a_flood_that_nobody_reads(dial: Dial, check: dict[str, str]) -> None:
    """The check works behind more unread bytes than are kept: these are dropped and counted."""
    async with Device(lambda _: b"PONG\n") as device:
        line = await dial(device.config(health_check=check, max_line=1000))
        device.say(b"T 21.5\n" * 100_000)
        await asyncio.sleep(0.05)
        device.answer = lambda _: b"T 21.6\n" * 100_000 + b"PONG\n"
        assert await line.health_check() is True
        assert line.dropped_bytes > 0
        assert line.is_connected()


async def test_two_sessions_of_one_object(dial: Dial) -> None:
    """The same object connects again after the device was away."""
    async with TcpSimulator(port=0) as simulator:
        line = await dial(simulator.config)
        await simulator.stop()
        await asyncio.sleep(0.01)
        assert not line.is_connected()
        await line.disconnect()
        await simulator.start()
        await line.connect()
        assert await line.health_check() is True
        assert await line.request(b"ECHO again\n") == b"again"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"send": "PING\n"}, 'either "expect" \\(text\\) or "expect_hex"'),
        ({"expect": "PONG"}, 'either "send" \\(text\\) or "send_hex"'),
        ({"send": "PING\n", "send_hex": "05", "expect": "PONG"}, 'either "send"'),
        ({"send": "", "expect": "PONG"}, "at least 1 character"),
        ({"send_hex": "5", "expect": "PONG"}, "pattern"),
        ({"send": "PING\n", "expect": "PONG\nOK"}, "more than one line"),
        ({"send": "PING\n", "expect": "PONG", "until": "\n"}, "not permitted"),
    ],
)
def test_wrong_health_checks(check: dict[str, str], message: str) -> None:
    """What cannot work is refused before anything is dialled."""
    with pytest.raises(ValidationError, match=message):
        TcpOptions.model_validate({"host": "plc", "port": 5000, "health_check": check})


def test_the_answer_may_be_given_with_its_line_end() -> None:
    """`"PONG\\n"` means the same line as `"PONG"`."""
    options = TcpOptions.model_validate(
        {"host": "plc", "port": 5000, "health_check": {"send": "PING\n", "expect": "PONG\n"}}
    )
    assert options.health_check is not None
    assert options.health_check.answer == b"PONG\n"
