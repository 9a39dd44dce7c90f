"""Questions and answers: each answer belongs to its question, or there is none."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from connmgr import NoAnswerError, NotConnectedError, TransientError
from connmgr.testing import PtyFaultProxy
from connmgr_serial import SerialConnection
from connmgr_serial.simulator import SerialSimulator
from connmgr_serial.tests.conftest import Dial, Supervise
from connmgr_serial.tests.device import Device, Says


def late(slow: float, others: float) -> Callable[[bytes], Says]:
    """A device that answers with the question, and takes its time for `slow…`."""
    return lambda piece: [(slow if piece.startswith(b"slow") else others, b"answer to " + piece)]


async def test_a_line_for_a_line(dial: Dial) -> None:
    """A request returns the answer without its line end."""
    async with SerialSimulator(port=0) as simulator:
        connection = await dial(simulator.config)
        assert await connection.request(b"ECHO 21.5\n") == b"21.5"
        assert await connection.request(b"ECHO\n") == b""
        assert connection.stats["packets_sent"] == 3  # with the question of the health check
        assert connection.stats["packets_received"] == 3


async def test_an_answer_of_known_length(dial: Dial, tmp_path: Path) -> None:
    """With `length` the answer is that many bytes, whatever they are, and the rest stays for the next reader."""
    async with Device(tmp_path / "port", lambda _: [(0, b"\x02\n\n\x03rest\n")]) as device:
        connection = await dial(device.config())
        assert await connection.request(b"\x05", length=4) == b"\x02\n\n\x03"
        assert await connection.receive_data() == b"rest"


async def test_length_framing(dial: Dial, tmp_path: Path) -> None:
    """A connection whose messages have a length needs no line ends, for answers nor for what comes by itself."""
    async with Device(tmp_path / "port", lambda _: [(0, b"\x00\x01\n")]) as device:
        connection = await dial(device.config(framing="length", length=3))
        assert await connection.request(b"?") == b"\x00\x01\n"
        device.say(b"abcdef")
        assert [await connection.receive_data(), await connection.receive_data()] == [b"abc", b"def"]


async def test_an_answer_in_pieces(dial: Dial) -> None:
    """An answer that comes byte by byte is the same answer."""
    async with SerialSimulator(port=0) as simulator, PtyFaultProxy(simulator.endpoint) as proxy:
        connection = await dial({**simulator.config, "port": proxy.path})
        proxy.trickle(500)
        assert await connection.request(b"ECHO in pieces\n") == b"in pieces"


async def test_what_came_before_a_question_is_not_its_answer(dial: Dial, tmp_path: Path) -> None:
    """Whole lines said unasked are thrown away before a question, and counted."""
    async with Device(tmp_path / "port", lambda _: [(0, b"right\n")]) as device:
        connection = await dial(device.config())
        await device.says(b"wrong\nwrong\n")
        assert await connection.request(b"?\n") == b"right"
        assert connection.dropped_bytes == 12


async def test_the_rest_of_a_line_is_not_an_answer(dial: Dial, tmp_path: Path) -> None:
    """If the device is in the middle of a line when it is asked, the rest of that line is not the answer."""
    async with Device(tmp_path / "port", lambda _: [(0, b"3.5\nright\n")]) as device:
        connection = await dial(device.config())
        await device.says(b"wrong\n2")
        assert await connection.request(b"?\n") == b"right"


@pytest.mark.parametrize("wanted", [b"PONG", b"\x06"])
async def test_the_health_check_leaves_the_stream_alone(dial: Dial, tmp_path: Path, wanted: bytes) -> None:
    """A health check takes its own answer out of what the device says by itself; the rest stays, in order."""
    async with Device(tmp_path / "port", lambda _: [(0, b"two\n"), (0.02, wanted + b"\nthree\n")]) as device:
        connection = await dial(device.config(health_check={"send": "PING\n", "expect_hex": wanted.hex()}))
        assert [await connection.receive_data() for _ in range(2)] == [b"two", b"three"]
        await device.says(b"one\n")
        assert await connection.health_check()
        assert [await connection.receive_data() for _ in range(3)] == [b"one", b"two", b"three"]


async def test_no_byte_is_sent_unasked(dial: Dial, tmp_path: Path) -> None:
    """Without a health check configured, connecting and checking send nothing."""
    async with Device(tmp_path / "port") as device:
        connection = await dial(device.config())
        assert await connection.health_check()
        device.say(b"still there\n")
        assert await connection.receive_data() == b"still there"
        assert device.heard == b""


# Unguarded, the next question would be under way when the late answer comes, in these two tests.


async def test_a_late_answer_after_a_timeout(supervise: Supervise, tmp_path: Path) -> None:
    """An answer that comes after its deadline is not the answer to the next question."""
    async with Device(tmp_path / "port", late(0.7, 0.3)) as device:
        connection = await supervise(device.config(timeout=0.4, silence=0.8))
        with pytest.raises(NoAnswerError):
            await connection.request(b"slow\n")
        await connection.wait_until_connected(5)
        assert await connection.request(b"next\n") == b"answer to next"


async def test_a_late_answer_after_a_cancellation(supervise: Supervise, tmp_path: Path) -> None:
    """A question that was cancelled leaves nothing behind for the next one."""
    async with Device(tmp_path / "port", late(0.4, 0.35)) as device:
        connection = await supervise(device.config(silence=0.8))
        question = asyncio.create_task(connection.request(b"slow\n"), name="cancelled")
        await device.hears(b"slow\n")
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        with pytest.raises(NotConnectedError):
            await connection.request(b"next\n")
        await connection.wait_until_connected(5)
        assert await connection.request(b"next\n") == b"answer to next"


async def test_negative_control(supervise: Supervise, tmp_path: Path) -> None:
    """With a silence shorter than the device needs, the wrong answer is really seen."""

    def tardy(piece: bytes) -> Says:
        return [] if piece == b"slow\n" else [(0, b"answer to slow\n"), (0.1, b"answer to next\n")]

    async with Device(tmp_path / "port", tardy) as device:
        connection = await supervise(device.config(timeout=0.2, silence=0.001))
        with pytest.raises(NoAnswerError):
            await connection.request(b"slow\n")
        await connection.wait_until_connected(5)
        assert await connection.request(b"next\n") == b"answer to slow"


async def test_what_waited_in_the_port_is_forgotten(supervise: Supervise, tmp_path: Path) -> None:
    """What the device said before the port was opened is not read."""
    async with Device(tmp_path / "port") as device:
        await device.says(b"old\n")
        connection = await supervise(device.config())
        device.say(b"new\n")
        assert await connection.receive_data() == b"new"


async def test_the_first_line_can_be_thrown_away(dial: Dial, tmp_path: Path) -> None:
    """With discard_first_line a device that talks by itself is first read from the beginning of a line."""
    async with Device(tmp_path / "port") as device:
        connection = await dial(device.config(discard_first_line=True))
        device.say(b"3.5\n23.6\n")
        assert await connection.receive_data() == b"23.6"


async def test_an_endless_line(supervise: Supervise, tmp_path: Path) -> None:
    """A line longer than max_line breaks the link; not more than that is kept."""
    async with Device(tmp_path / "port", lambda _: [(0, b"x" * 300)]) as device:
        connection = await supervise(device.config(max_line=256))
        with pytest.raises(TransientError, match=r"longer than max_line \(256 bytes\)"):
            await connection.request(b"?\n")
        assert not connection.is_connected()
        await connection.wait_until_connected(5)


async def test_a_device_that_nobody_reads(dial: Dial, tmp_path: Path) -> None:
    """Unread messages are bounded: the oldest go, whole, and what is left is in order."""
    async with Device(tmp_path / "port") as device:
        connection = await dial(device.config(max_line=50))
        for number in range(100):
            device.say(b"message %02d\n" % number)
        async with asyncio.timeout(5):
            while connection.dropped_bytes < 96 * 11:
                await asyncio.sleep(0.001)
        assert [await connection.receive_data() for _ in range(4)] == [
            b"message %d" % number for number in range(96, 100)
        ]


async def test_nothing_came(dial: Dial, tmp_path: Path) -> None:
    """That a device says nothing by itself is no fault of the link."""
    async with Device(tmp_path / "port") as device:
        connection = await dial(device.config())
        with pytest.raises(NoAnswerError, match=r"no message within 0.05 s"):
            await connection.receive_data(timeout=0.05)
        assert connection.is_connected()


async def test_requests_wait_for_each_other(dial: Dial) -> None:
    """Twenty tasks that ask at once each get their own answer."""
    async with SerialSimulator(port=0) as simulator:
        connection = await dial(simulator.config)
        answers = await asyncio.gather(*(connection.request(b"ECHO %d\n" % number) for number in range(20)))
        assert answers == [b"%d" % number for number in range(20)]


async def test_wrong_arguments(dial: Dial) -> None:
    """What cannot be waited for is refused before anything is sent, and the link stays."""
    async with SerialSimulator(port=0) as simulator:
        connection = await dial(simulator.config)
        for wrong in ({"until": b"x", "length": 1}, {"until": b""}, {"length": 0}, {"length": 70_000}):
            with pytest.raises(ValueError, match="cannot wait for"):
                await connection.request(b"PING\n", **wrong)
        assert await connection.request(b"PING\n") == b"PONG"


async def test_before_connecting() -> None:
    """A connection that is not open says so."""
    connection = SerialConnection("scale", {"port": "/dev/ttyUSB0"}, None)
    with pytest.raises(NotConnectedError, match="cannot use /dev/ttyUSB0: it is not connected"):
        await connection.request(b"?\n")
    assert not connection.is_connected()
    assert await connection.disconnect()
