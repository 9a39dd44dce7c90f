"""What a bad line and a bad PLC do to reads and writes: errors that say the truth, never a wrong value."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from connmgr import ConnmgrError, NoAnswerError, NotConnectedError, RefusedError, TransientError
from connmgr.testing import Direction, FaultProxy
from connmgr_s7 import S7Connection
from connmgr_s7.session import PlcSession
from connmgr_s7.simulator import S7Simulator

Supervise = Callable[..., Awaitable[S7Connection]]  # see conftest.py

ANSWER_TO_4_BYTES = 29  # bytes on the wire


async def until(true: Callable[[], bool], within: float = 1.0) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.001)


@pytest.fixture
async def line(plc: S7Simulator) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(plc.host, int(plc.port)) as proxy:
        yield proxy


@pytest.fixture
async def connection(line: FaultProxy, supervise: Supervise) -> S7Connection:
    """Through the proxy, with two different contents to tell one answer from another."""
    connection = await supervise({"host": line.host, "port": line.port, "timeout": 0.3})
    await connection.write_db(2, 0, b"AAAAbbbb")
    return connection


async def test_a_late_answer_is_never_taken_for_the_next_one(line: FaultProxy, connection: S7Connection) -> None:
    """The first caller gets an error, the second its own bytes."""
    line.late_answer()
    with pytest.raises(NoAnswerError, match=r"cannot read DB2\.DBB0\.\.3: no answer within 0\.3 s"):
        await connection.read_db(2, 0, 4)
    line.release()
    await connection.wait_until_connected(2)
    assert await connection.read_db(2, 4, 4) == b"bbbb"


async def test_a_cancelled_read_is_never_answered_to_somebody_else(line: FaultProxy, connection: S7Connection) -> None:
    """Cancelled before the answer and after each of its bytes; the library alone stays out of step for ever."""
    for delay in (0.0, 0.001, 0.01, 0.02, 0.03, 0.05, 0.08):
        line.trickle(500, Direction.TO_CLIENT)
        reading = asyncio.create_task(connection.read_db(2, 0, 4))
        await asyncio.sleep(delay)
        reading.cancel()
        await asyncio.wait([reading])
        line.heal()
        await connection.wait_until_connected(2)
        assert await connection.read_db(2, 4, 4) == b"bbbb"


async def test_a_stale_answer_is_never_taken(line: FaultProxy, connection: S7Connection) -> None:
    """The PLC repeats its previous answer: the number in the telegram tells."""
    assert await connection.read_db(2, 0, 4) == b"AAAA"
    line.replay()
    with pytest.raises(NoAnswerError):
        await connection.read_db(2, 4, 4)
    await connection.wait_until_connected(2)
    assert await connection.read_db(2, 4, 4) == b"bbbb"


@pytest.mark.parametrize("by_reset", [False, True])
async def test_an_answer_that_is_cut_anywhere_is_an_error_and_nothing_more(
    line: FaultProxy, connection: S7Connection, by_reset: bool
) -> None:
    """Cut after each byte of the answer; the link comes back by itself each time."""
    for count in range(ANSWER_TO_4_BYTES):
        await connection.wait_until_connected(2)
        line.cut_after(count, by_reset=by_reset)
        with pytest.raises(TransientError, match=r"cannot read DB2\.DBB0\.\.3: ") as caught:
            await connection.read_db(2, 0, 4)
        assert not isinstance(caught.value, NotConnectedError), count
        line.heal()
        await connection.wait_until_connected(2)
        assert await connection.read_db(2, 4, 4) == b"bbbb", count
    await connection.wait_until_connected(2)
    line.cut_after(ANSWER_TO_4_BYTES, by_reset=False)
    assert await connection.read_db(2, 0, 4) == b"AAAA"


async def test_an_answer_in_single_bytes_is_one_answer(line: FaultProxy, connection: S7Connection) -> None:
    """TCP has no telegrams."""
    line.split()
    assert await connection.read_db(2, 0, 8) == b"AAAAbbbb"


async def test_a_half_open_link_is_noticed_by_the_next_read(line: FaultProxy, connection: S7Connection) -> None:
    """The device is gone without a word: no answer, then a new session."""
    line.half_open()
    began = time.monotonic()
    with pytest.raises(NoAnswerError):
        await connection.read_db(2, 0, 4)
    assert 0.25 < time.monotonic() - began < 1
    await connection.wait_until_connected(2)
    assert await connection.read_db(2, 0, 4) == b"AAAA"


@pytest.mark.parametrize("how", ["cut", "reset"])
async def test_the_end_of_an_idle_link_is_noticed_at_once(line: FaultProxy, connection: S7Connection, how: str) -> None:
    """Within 100 ms, though nobody reads and no health check is due."""
    getattr(line, how)()
    await until(lambda: not connection.is_connected(), within=0.1)
    with pytest.raises(NotConnectedError):
        await connection.read_db(2, 0, 4)
    await connection.wait_until_connected(2)
    assert await connection.read_db(2, 0, 4) == b"AAAA"


async def test_without_the_librarys_private_streams_the_health_check_notices(
    line: FaultProxy, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a release of the library hide them, a loss is found later, not never; and every socket is closed."""
    monkeypatch.setattr(PlcSession, "_transport", lambda _: None)
    monkeypatch.setattr(PlcSession, "_watch_for_the_end", lambda _: None)
    config = {"host": line.host, "port": line.port, "timeout": 0.3}
    connection = await supervise(config, health_check_interval=0.1)
    line.cut()
    accepted = line.accepted
    await until(lambda: line.accepted > accepted)
    await connection.wait_until_connected(2)


@pytest.mark.parametrize("seed", range(12))
async def test_garbage_is_an_error_of_ours_and_ends_the_session(
    line: FaultProxy, connection: S7Connection, seed: int
) -> None:
    """Flipped bits anywhere in the answer: a telegram has no checksum, so a value may pass, a stray exception not."""
    line.garble(0.3, seed=seed)
    for _ in range(3):
        try:
            await connection.read_db(2, 0, 4)
        except ConnmgrError as error:
            assert str(error).startswith("cannot ")  # noqa: PT017 - several types will do
            if not isinstance(error, RefusedError):
                break
    line.heal()
    await asyncio.sleep(0.05)
    await connection.wait_until_connected(2)
    assert await connection.read_db(2, 4, 4) == b"bbbb"


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, b"\x03\0\0\x04", b"\x03\0\xff\xff"]
)
async def test_another_protocol_on_the_port_is_told(line: FaultProxy, connection: S7Connection, garbage: bytes) -> None:
    """In the middle of a session, and when connecting."""
    line.substitute(garbage)
    with pytest.raises(TransientError, match="cannot read"):
        await connection.read_db(2, 0, 4)
    line.cut()
    stranger = S7Connection("stranger", {"host": line.host, "port": line.port}, None)
    async with asyncio.timeout(6):
        with pytest.raises(TransientError, match="check the address, rack 0 and slot 1"):
            await stranger.connect()
    await stranger.disconnect()


async def test_a_write_without_an_answer_may_have_been_executed(
    line: FaultProxy, connection: S7Connection, plc: S7Simulator
) -> None:
    """The error says so by its type and in words; here it was."""
    line.silence(Direction.TO_CLIENT)
    with pytest.raises(NoAnswerError, match=r"cannot write DB2\.DBB20: .*may have executed it"):
        await connection.write_db(2, 20, b"x")
    assert plc.peek(2, 20, 1) == b"x"


async def test_a_bit_whose_byte_could_not_be_read_was_not_written(
    line: FaultProxy, connection: S7Connection, plc: S7Simulator
) -> None:
    """Half of read-modify-write: the error is not the one that leaves it open."""
    line.silence(Direction.TO_CLIENT)
    with pytest.raises(TransientError, match=r"cannot read DB2\.DBB20: .*nothing was written") as caught:
        await connection.read_modify_write_byte_bit(2, 20, 3, value=True)
    assert not isinstance(caught.value, NoAnswerError)
    assert plc.peek(2, 20, 1) == b"\0"


async def test_a_call_during_connecting_neither_waits_nor_disturbs(line: FaultProxy, supervise: Supervise) -> None:
    """It is told that the link is not up, and the link comes up all the same."""
    line.delay(0.2)
    connection = await supervise({"host": line.host, "port": line.port}, up=False)
    await until(lambda: line.live == 1)
    with pytest.raises(NotConnectedError, match="connecting"):
        await connection.read_db(1, 0, 4)
    await connection.wait_until_connected(3)
    assert line.accepted == 1


async def test_a_cancelled_connect_leaves_no_socket(line: FaultProxy) -> None:
    """At any moment; the library leaves it open."""
    line.delay(0.02, Direction.TO_CLIENT)
    for milliseconds in range(0, 60, 4):
        connection = S7Connection("plc", {"host": line.host, "port": line.port}, None)
        connecting = asyncio.create_task(connection.connect())
        await asyncio.sleep(milliseconds / 1000)
        connecting.cancel()
        await asyncio.wait([connecting])
        assert await connection.disconnect() is True
    await until(lambda: not line.live)


async def test_disconnect_is_bounded_when_the_plc_is_silent(line: FaultProxy) -> None:
    """With a full send buffer, saying goodbye would block for ever."""
    connection = S7Connection("plc", {"host": line.host, "port": line.port}, None)
    await connection.connect()
    line.silence()
    assert connection._session is not None
    transport: Any = connection._session._transport()
    transport.write(b"\0" * 50_000_000)
    began = time.monotonic()
    assert await connection.disconnect() is True
    assert time.monotonic() - began < 2
    line.cut()


@pytest.mark.parametrize(
    ("config", "part"), [({"port": 1}, "Connect call failed"), ({"host": "no.such.host.invalid"}, "")]
)
async def test_who_cannot_be_reached_is_told_with_the_systems_own_reason(config: dict[str, Any], part: str) -> None:
    """The library drops the cause, by which connmgr tells a wrong name from a closed port."""
    connection = S7Connection("plc", {"host": "127.0.0.1", **config}, None)
    with pytest.raises(TransientError, match=f"cannot connect to s7://.*{part}") as caught:
        await connection.connect()
    assert isinstance(caught.value.__cause__, OSError)
    assert "rack" not in str(caught.value)
    assert await connection.disconnect() is True
