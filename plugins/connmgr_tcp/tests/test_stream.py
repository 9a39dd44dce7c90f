"""Bytes in and out, their bounds, and how a loss is noticed."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from connmgr import NoAnswerError, NotConnectedError, TransientError
from connmgr.testing import FaultProxy
from connmgr_tcp.simulator import TcpSimulator
from connmgr_tcp.stream import Stream
from connmgr_tcp.tests.conftest import Line
from connmgr_tcp.tests.device import Device

Dial = Callable[[dict[str, Any]], Awaitable[Line]]


async def noticed(line: Line) -> float:
    """Seconds until the loss was told; nobody reads meanwhile."""
    began = time.monotonic()
    async with asyncio.timeout(2):
        await line.is_lost.wait()
    return time.monotonic() - began


async def test_send_and_receive(dial: Dial) -> None:
    """`send_data` returns the number of bytes, `receive_data` the next bytes of the stream, and both are counted."""
    async with TcpSimulator(port=0) as simulator:
        line = await dial({**simulator.config, "health_check": None})
        assert await line.send_data(b"ECHO hello\n") == 11
        assert await line.receive_data(3) == b"hel"
        assert await line.receive_data() == b"lo\n"
        stats = line.stats
        assert (stats["packets_sent"], stats["bytes_sent"]) == (1, 11)
        assert (stats["packets_received"], stats["bytes_received"]) == (1, 6)


@pytest.mark.parametrize("how", ["cut", "reset"])
async def test_a_loss_is_noticed_without_a_reader(dial: Dial, how: str) -> None:
    """FIN and RST are told within 100 ms, though nobody reads or writes."""
    async with TcpSimulator(port=0) as simulator, FaultProxy("127.0.0.1", int(simulator.port)) as proxy:
        line = await dial({**simulator.config, "port": proxy.port})
        getattr(proxy, how)()
        assert await noticed(line) < 0.1
        assert not line.is_connected()
        assert len(line.losses) == 1


async def test_our_own_disconnect_is_no_loss(dial: Dial) -> None:
    """Nothing is told when the link is closed on purpose, and a second disconnect is harmless."""
    async with TcpSimulator(port=0) as simulator:
        line = await dial(simulator.config)
        assert await line.disconnect() is True
        assert await line.disconnect() is True
        await asyncio.sleep(0.01)
        assert line.losses == ()


async def test_nothing_came(dial: Dial) -> None:
    """A `receive_data` without result leaves the link as it is."""
    async with Device() as device:
        line = await dial(device.config())
        with pytest.raises(NoAnswerError, match=r"cannot receive from tcp://127.0.0.1:\d+: nothing came within 0.05 s"):
            await line.receive_data(timeout=0.05)
        assert line.is_connected()


async def test_last_words(dial: Dial) -> None:
    """What arrived before the device closed can be read; then it is over."""
    async with Device() as device:
        line = await dial(device.config())
        await device.accepted()
        device.say(b"last words")
        device.clients[-1].close()
        await noticed(line)
        assert await line.receive_data(4) == b"last"
        assert await line.receive_data() == b" words"
        with pytest.raises(NotConnectedError, match="the device closed the connection"):
            await line.receive_data()


async def test_a_waiting_reader_learns_of_the_loss(dial: Dial) -> None:
    """It gets NotConnectedError at once and does not wait out its timeout."""
    async with Device() as device:
        line = await dial(device.config())
        reading = asyncio.create_task(line.receive_data(timeout=60))
        await device.accepted()
        device.reset()
        with pytest.raises(NotConnectedError):
            await reading


async def test_a_flood_waits_outside(dial: Dial) -> None:
    """Unread bytes are bounded by `max_line` and one read of the system; nothing is lost and reading goes on."""
    async with Device() as device:
        line = await dial(device.config(max_line=10_000))
        await device.accepted()
        flood = bytes(range(256)) * 40_000
        device.say(flood)
        await asyncio.sleep(0.1)
        assert line.stats["bytes_received"] <= 10_000 + 256 * 1024
        received = bytearray()
        while len(received) < len(flood):
            received += await line.receive_data(65_536)
        assert received == flood
        assert line.dropped_bytes == 0


async def test_a_device_that_left_behind_its_flood(dial: Dial) -> None:
    """Without a question the health check still sees that a peer is gone whose flood nobody reads."""
    async with Device() as device:
        line = await dial(device.config(max_line=1000))
        await device.accepted()
        device.say(b"x" * 100_000)
        await asyncio.sleep(0.05)
        assert await line.health_check() is True
        device.clients[-1].close()
        await asyncio.sleep(0.05)
        assert await line.health_check() is False


async def test_a_device_that_takes_nothing(dial: Dial) -> None:
    """Sending to it ends at the deadline, and breaks the link because a part was sent."""
    async with Device() as device:
        line = await dial(device.config())
        await device.accepted()
        device.clients[-1].pause_reading()
        with pytest.raises(NoAnswerError, match=r"cannot send to .* it takes no more bytes"):
            await line.send_data(bytes(50_000_000), timeout=0.1)
        assert not line.is_connected()
        assert len(line.losses) == 1


async def test_disconnect_does_not_wait_for_a_stalled_device(dial: Dial) -> None:
    """What cannot be sent is thrown away after a second."""
    async with Device() as device:
        line = await dial(device.config())
        await device.accepted()
        device.clients[-1].pause_reading()
        sending = asyncio.create_task(line.send_data(bytes(50_000_000), timeout=60))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await line.disconnect()
        assert time.monotonic() - began < 1.5
        with pytest.raises(NoAnswerError):
            await sending


async def test_sending_waits_for_the_exchange(dial: Dial) -> None:
    """`send_data` never gets between a question and its answer, and says so if its time runs out."""
    async with Device() as device:
        line = await dial(device.config())
        asking = asyncio.create_task(line.request(b"?\n"))
        await device.heard(b"?\n")
        with pytest.raises(TransientError, match=r"still busy after 0.05 s"):
            await line.send_data(b"other\n", timeout=0.05)
        sending = asyncio.create_task(line.send_data(b"other\n"))
        await asyncio.sleep(0.01)
        assert device.received == b"?\n"
        device.say(b"!\n")
        assert await asking == b"!"
        await sending
        await device.heard(b"?\nother\n")


async def test_a_reader_never_gets_an_answer(dial: Dial) -> None:
    """What arrives during an exchange belongs to it, and only what is left goes to `receive_data`."""
    async with Device(lambda _: b"answer\nmore") as device:
        line = await dial(device.config())
        reading = asyncio.create_task(line.receive_data())
        await asyncio.sleep(0.01)
        assert await line.request(b"?\n") == b"answer"
        assert await reading == b"more"


async def test_keepalive(dial: Dial) -> None:
    """The operating system watches the peer, unless it is told not to."""
    async with Device() as device:
        for keepalive in (True, False):
            line = await dial(device.config(keepalive=keepalive))
            assert line._stream is not None
            sock = line._stream._live().get_extra_info("socket")
            assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is keepalive


async def test_a_socket_that_met_itself() -> None:
    """Dialling a free port of this machine can connect a socket to itself; that is nobody, not a device."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.connect(sock.getsockname())
    sock.setblocking(False)
    stream = Stream(Line("line", {"host": "127.0.0.1", "port": 9}, None), 100)
    await asyncio.get_running_loop().create_connection(lambda: stream, sock=sock)
    with pytest.raises(ConnectionRefusedError):
        stream.configure(keepalive=True)
    await stream.close()
