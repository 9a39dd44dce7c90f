"""Questions and answers: each answer belongs to its question, or there is none."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from connmgr import NoAnswerError, NotConnectedError, TransientError
from connmgr.testing import FaultProxy
from connmgr_tcp.simulator import TcpSimulator
from connmgr_tcp.tests.conftest import Line
from connmgr_tcp.tests.device import Device

Dial = Callable[[dict[str, Any]], Awaitable[Line]]


async def test_a_line_for_a_line(dial: Dial) -> None:
    """A request returns the answer without its line end."""
    async with TcpSimulator(port=0) as simulator:
        line = await dial(simulator.config)
        assert await line.request(b"ECHO 21.5\n") == b"21.5"
        assert await line.request(b"ECHO\n") == b""


async def test_an_answer_of_known_length(dial: Dial) -> None:
    """With `length` the answer is that many bytes, whatever they are, and the rest stays in the stream."""
    async with Device(lambda _: b"\x02\n\n\x03rest") as device:
        line = await dial(device.config())
        assert await line.request(b"\x05", length=4) == b"\x02\n\n\x03"
        assert await line.receive_data() == b"rest"


async def test_an_answer_in_pieces(dial: Dial) -> None:
    """An answer that comes byte by byte, its two-byte line end torn apart, is the same answer."""
    async with Device(lambda _: b"21.5\r\n") as device, FaultProxy("127.0.0.1", device.port) as proxy:
        line = await dial({**device.config(terminator="\r\n"), "port": proxy.port})
        proxy.trickle(1000)
        assert await line.request(b"TEMP\r\n") == b"21.5"


async def test_requests_wait_for_each_other(dial: Dial) -> None:
    """A hundred requests at once each get their own answer."""
    async with TcpSimulator(port=0) as simulator:
        line = await dial(simulator.config)
        answers = await asyncio.gather(*(line.request(b"ECHO %d\n" % n) for n in range(100)))
        assert answers == [b"%d" % n for n in range(100)]


async def test_old_bytes_are_no_answer(dial: Dial) -> None:
    """What came before the question is dropped and counted."""
    async with Device(lambda _: b"new\n") as device:
        line = await dial(device.config())
        await device.accepted()
        device.say(b"old\nolder\n")
        await asyncio.sleep(0.05)
        assert await line.request(b"?\n") == b"new"
        assert line.dropped_bytes == len(b"old\nolder\n")


async def test_old_bytes_that_nobody_has_read_yet(dial: Dial) -> None:
    """Bytes that still wait in the operating system when the question is asked are old as well."""
    async with Device(lambda _: b"new\n") as device:
        line = await dial(device.config())
        await device.accepted()
        device.say(b"old\n")  # nothing runs between this and the request
        assert await line.request(b"?\n") == b"new"


async def test_the_end_of_an_old_line(dial: Dial) -> None:
    """A line that had begun before the question is dropped to its end."""
    async with Device(lambda _: b".5 old\nnew\n") as device:
        line = await dial(device.config())
        await device.accepted()
        device.say(b"first\n21")
        assert await line.request(b"?\n") == b"new"
        assert line.dropped_bytes == len(b"first\n21.5 old\n")


async def test_a_late_answer_has_nowhere_to_arrive(dial: Dial) -> None:
    """After a question without its answer the socket is closed; the next question needs a new one."""
    async with TcpSimulator(port=0) as simulator, FaultProxy("127.0.0.1", int(simulator.port)) as proxy:
        line = await dial({**simulator.config, "port": proxy.port})
        proxy.delay(0.3)
        with pytest.raises(NoAnswerError):
            await line.request(b"ECHO old\n", timeout=0.1)
        assert not line.is_connected()
        with pytest.raises(NotConnectedError):
            await line.receive_data(timeout=1)
        with pytest.raises(NotConnectedError):
            await line.request(b"ECHO new\n")


async def test_half_an_answer_is_nobodys(dial: Dial) -> None:
    """The part that came before the question was given up is no part of the stream."""
    async with Device(lambda _: b"21.") as device:
        line = await dial(device.config())
        with pytest.raises(NoAnswerError):
            await line.request(b"?\n", timeout=0.05)
        with pytest.raises(NotConnectedError):
            await line.receive_data()


async def test_a_cancelled_request_closes_the_link(dial: Dial) -> None:
    """Cancelling a request is leaving it without its answer."""
    async with Device() as device:
        line = await dial(device.config())
        asking = asyncio.create_task(line.request(b"?\n"))
        await device.heard(b"?\n")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not line.is_connected()


async def test_an_endless_line(dial: Dial) -> None:
    """An answer longer than `max_line` breaks the link, whatever its end would have been."""
    async with Device(lambda _: b"x" * 1000) as device:
        line = await dial(device.config(max_line=500))
        with pytest.raises(TransientError, match=r"cannot use tcp://127.0.0.1:\d+: a line is longer than max_line"):
            await line.request(b"?\n")
        assert not line.is_connected()


async def test_the_device_closes_instead_of_answering(dial: Dial) -> None:
    """The caller is told at once, and not that nothing was sent."""
    async with Device() as device:
        line = await dial(device.config(timeout=60.0))
        asking = asyncio.create_task(line.request(b"?\n"))
        await device.heard(b"?\n")
        device.clients[-1].close()
        with pytest.raises(NoAnswerError, match="the device closed the connection"):
            await asking


async def test_the_device_had_closed(dial: Dial) -> None:
    """A question to a device that has closed is not sent, also when nobody has noticed yet."""
    async with Device() as device:
        line = await dial(device.config())
        await device.accepted()
        device.clients[-1].get_extra_info("socket").shutdown(1)
        with pytest.raises(NotConnectedError):
            await line.request(b"?\n")


async def test_a_device_that_answers_and_closes(dial: Dial) -> None:
    """An answer that was complete counts, also if the device closes behind it."""
    async with Device() as device:
        line = await dial(device.config())
        asking = asyncio.create_task(line.request(b"?\n"))
        await device.heard(b"?\n")
        device.say(b"bye\n")
        device.clients[-1].close()
        assert await asking == b"bye"


async def test_impossible_requests(dial: Dial) -> None:
    """What cannot be an answer is refused before anything is sent, and the link stays."""
    async with Device() as device:
        line = await dial(device.config(max_line=100))
        for wrong in ({"until": b"\n", "length": 1}, {"until": b""}, {"length": 0}, {"length": 101}):
            with pytest.raises(ValueError, match="cannot wait for"):
                await line.request(b"?\n", **wrong)
        assert line.is_connected()
        assert not device.received


async def test_a_connection_that_was_never_opened() -> None:
    """Every method says that it is not connected."""
    line = Line("line", {"host": "127.0.0.1", "port": 9}, None)
    for call in (line.request(b"?\n"), line.send_data(b"x"), line.receive_data(), line.health_check()):
        with pytest.raises(NotConnectedError, match=r"cannot use tcp://127.0.0.1:9"):
            await call
    assert await line.disconnect() is True
