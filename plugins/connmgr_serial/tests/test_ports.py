"""The port itself: what can be opened, by whom, and what happens when it is pulled out."""

import asyncio
import errno
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connmgr import ConnectionStatus, NoAnswerError, NotConnectedError, PermanentError, TransientError
from connmgr_serial import SerialConnection
from connmgr_serial.aside import Aside
from connmgr_serial.port import Port, explained
from connmgr_serial.simulator import SerialSimulator
from connmgr_serial.tests.conftest import Dial, Supervise
from connmgr_serial.tests.device import Device


async def refusal(path: str | Path, **more: object) -> Exception:
    """What `connect` raises; the connection is cleaned up as the supervisor does it."""
    connection = SerialConnection("scale", {"port": str(path), **more}, None)
    try:
        with pytest.raises((TransientError, PermanentError)) as caught:
            await connection.connect()
    finally:
        await connection.disconnect()
    return caught.value


KINDS_ARE_KNOWN = Path("/sys/dev/char").exists()  # not in a bare chroot


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.write_text(""), "a regular file"),
        (lambda path: path.mkdir(), "a directory"),
        (os.mkfifo, "a FIFO"),
        (lambda path: path.symlink_to("/dev/null"), "a device of the kind mem"),
    ],
)
async def test_what_is_no_serial_port(make: Callable[[Path], object], kind: str, tmp_path: Path) -> None:
    """Whatever is not a serial port is refused for good, with what it is, without waiting for anything."""
    make(tmp_path / "port")
    async with asyncio.timeout(2):
        error = await refusal(tmp_path / "port")
    assert isinstance(error, PermanentError)
    if not KINDS_ARE_KNOWN:
        kind = kind.replace("a device of the kind mem", "not a serial port")
    assert kind in str(error)


async def test_a_port_that_is_not_there() -> None:
    """A missing port may be plugged in later: the connection goes on trying."""
    error = await refusal("/dev/ttyNotThere0")
    assert isinstance(error, TransientError)
    assert str(error) == "cannot open /dev/ttyNotThere0: not plugged in; see `ls -l /dev/serial/by-id`"


def test_a_port_that_is_not_ours() -> None:
    """Without permission the message names the group; it is tried again, since udev grants it a moment late."""
    error = explained("/dev/ttyUSB0", PermissionError(errno.EACCES, "Permission denied"))
    assert isinstance(error, TransientError)
    assert "dialout" in str(error)


async def test_a_port_that_another_program_uses(dial: Dial) -> None:
    """A port has one owner; the second one is told how to find the first."""
    async with SerialSimulator(port=0) as simulator:
        await dial(simulator.config)
        error = await refusal(simulator.endpoint)
        assert isinstance(error, TransientError)
        assert f"another program has it open; `fuser {simulator.endpoint}` names it" in str(error)


async def test_rs485_where_the_driver_has_none(tmp_path: Path) -> None:
    """Direction control that the driver does not have is refused for good, with the remedy, and nothing stays open."""
    async with Device(tmp_path / "port") as device:
        error = await refusal(device.path, rs485={"delay_before_tx": 0.001})
        assert isinstance(error, PermanentError)
        assert "no RS-485 mode" in str(error)
        assert "leave rs485 out" in str(error)


async def test_settings_reach_the_port(dial: Dial, tmp_path: Path) -> None:
    """Speed and framing of the configuration are those of the port."""
    import termios

    async with Device(tmp_path / "port") as device:
        await dial(device.config(baudrate=19200, bytesize=7, parity="E", stopbits=2, xonxoff=True))
        observer = os.open(device.path, os.O_RDWR | os.O_NOCTTY)
        iflag, _, cflag, _, _, speed, _ = termios.tcgetattr(observer)
        os.close(observer)
    assert speed == termios.B19200
    # Not looked at: a pty has no parity and no data bits.
    assert cflag & termios.CSTOPB
    assert iflag & termios.IXON


async def test_unplugging_is_noticed_at_once(supervise: Supervise) -> None:
    """A pulled plug is noticed without traffic and without a reader, and plugged in again it is back by itself."""
    async with SerialSimulator(port=0) as simulator:
        connection = await supervise(simulator.config)
        loop = asyncio.get_running_loop()
        await simulator.stop()
        began = loop.time()
        while connection.status is ConnectionStatus.CONNECTED:
            await asyncio.sleep(0.001)
        assert loop.time() - began < 0.1
        with pytest.raises(NotConnectedError):
            await connection.request(b"PING\n")
        await simulator.start()
        await connection.wait_until_connected(5)
        assert await connection.request(b"PING\n") == b"PONG"


async def test_unplugging_ends_a_question(supervise: Supervise, tmp_path: Path) -> None:
    """Who waits for an answer learns of the pulled plug at once, not at the deadline."""
    async with Device(tmp_path / "port") as device:
        connection = await supervise(device.config(timeout=10))
        question = asyncio.create_task(connection.request(b"?\n"), name="question")
        await device.hears(b"?\n")
        began = time.monotonic()
        device.unplug()
        with pytest.raises(NoAnswerError, match="was it unplugged"):
            await question
        assert time.monotonic() - began < 0.5


async def test_unplugging_with_bytes_on_the_way(supervise: Supervise, tmp_path: Path) -> None:
    """A pulled plug while the system takes no more bytes is as quick, and quiet."""
    async with Device(tmp_path / "port", listens=False) as device:
        connection = await supervise(device.config(timeout=10))
        sending = asyncio.create_task(connection.send_data(b"x" * 1_000_000), name="sending")
        await asyncio.sleep(0.05)
        device.unplug()
        async with asyncio.timeout(2):
            await asyncio.wait([sending])
        assert not connection.is_connected()
        assert isinstance(sending.exception(), NoAnswerError)


async def test_closing_with_unsent_bytes(tmp_path: Path) -> None:
    """A device that takes no bytes does not keep the port from being closed."""
    async with Device(tmp_path / "port", listens=False) as device:
        connection = SerialConnection("scale", device.config(timeout=0.2), None)
        await connection.connect()
        with pytest.raises(NoAnswerError, match=r"takes no more bytes since 0.2 s"):
            await connection.send_data(b"x" * 1_000_000)
        async with asyncio.timeout(1):
            assert await connection.disconnect()


async def test_the_loop_is_never_held_up(tmp_path: Path) -> None:
    """Opening, talking and closing run beside the event loop: its longest pause stays short."""
    async with Device(tmp_path / "port", lambda piece: [(0, piece)]) as device:
        await _open_and_close(device)  # imports pyserial
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                before = time.monotonic()
                await asyncio.sleep(0)
                longest = max(longest, time.monotonic() - before)

        watching = asyncio.create_task(watch(), name="watch")
        for _ in range(20):
            await _open_and_close(device)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
    assert longest < 0.2


async def _open_and_close(device: Device) -> None:
    connection = SerialConnection("scale", device.config(), None)
    await connection.connect()
    assert await connection.request(b"?\n") == b"?"
    await connection.disconnect()


async def test_a_cancelled_attempt_leaves_nothing_open(tmp_path: Path) -> None:
    """Whenever an attempt is cancelled, the port is free for the next one."""
    async with Device(tmp_path / "port") as device:
        for rounds in range(30):
            connection = SerialConnection("scale", device.config(), None)
            attempt = asyncio.create_task(connection.connect(), name="attempt")
            for _ in range(rounds):
                await asyncio.sleep(0.0002)
            attempt.cancel()
            await asyncio.wait([attempt])
            await connection.disconnect()
        connection = SerialConnection("scale", device.config(), None)
        async with asyncio.timeout(5):
            while True:  # the thread of the last attempt may still be about to close what it opened
                try:
                    await connection.connect()
                except TransientError:
                    await connection.disconnect()
                    await asyncio.sleep(0.01)
                else:
                    break
        await connection.disconnect()


async def test_a_port_that_opens_in_the_moment_of_the_cancellation() -> None:
    """What a thread returns in the very round of the loop in which its waiter is cancelled is not lost."""
    loop = asyncio.get_running_loop()
    discarded: queue.SimpleQueue[str] = queue.SimpleQueue()
    has_returned = threading.Event()

    def hold_up_the_loop() -> None:
        has_returned.wait(1)
        time.sleep(0.05)  # the result is queued behind this, and the cancellation behind the result
        loop.call_soon(task.cancel)

    def work() -> str:
        loop.call_soon_threadsafe(hold_up_the_loop)
        has_returned.set()
        return "port"

    task = asyncio.create_task(Aside().run("work", work, discarded.put), name="waiter")
    await asyncio.wait([task])
    assert task.cancelled()
    assert discarded.get(timeout=1) == "port"


async def test_a_driver_that_hangs() -> None:
    """A thread that does not come back is left alone, and not joined by a second one."""
    gate, aside = threading.Event(), Aside()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await aside.run("open /dev/ttyHung0", gate.wait)
    with pytest.raises(TransientError, match="cannot open /dev/ttyHung0: the driver hangs"):
        await aside.run("open /dev/ttyHung0", gate.wait)
    gate.set()
    async with asyncio.timeout(1):
        while True:
            try:
                assert await aside.run("open /dev/ttyHung0", lambda: "port") == "port"
                break
            except TransientError:
                await asyncio.sleep(0.001)


def test_the_transport_cannot_block() -> None:
    """What pyserial-asyncio calls on the event loop when it ends does nothing there, whatever the port's state."""
    port = Port()
    port.flush()  # pyserial's own raises on a closed port, and waits on an open one
    port.close()


async def test_a_thousand_sessions(tmp_path: Path) -> None:
    """One after the other without a pause: no thread stands in the way of the next."""
    async with Device(tmp_path / "port") as device:
        connection = SerialConnection("scale", device.config(), None)
        for _ in range(1000):
            assert await connection.connect()
            assert await connection.disconnect()


@pytest.mark.needs("socat")
async def test_a_port_of_socat(supervise: Supervise, tmp_path: Path) -> None:
    """A pty pair that is not ours: both ways, and away when the program ends."""
    near, far = tmp_path / "near", tmp_path / "far"
    socat = await asyncio.create_subprocess_exec(
        shutil.which("socat") or "socat", f"pty,raw,echo=0,link={near}", f"pty,raw,echo=0,link={far}"
    )
    try:
        async with asyncio.timeout(5):
            while not (near.exists() and far.exists()):
                await asyncio.sleep(0.01)
        connection = await supervise({"port": str(near)})
        device = os.open(far, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        question = asyncio.create_task(connection.request(b"TEMP?\n"), name="question")
        async with asyncio.timeout(5):
            while True:
                try:
                    assert os.read(device, 100) == b"TEMP?\n"
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.01)
        os.write(device, b"21.5\n")
        assert await question == b"21.5"
        os.close(device)
    finally:
        socat.terminate()
        await socat.wait()
    async with asyncio.timeout(2):
        while connection.status is ConnectionStatus.CONNECTED:
            await asyncio.sleep(0.01)
