"""The retry form: seed 000's S7Reliable, with connmgr doing the reconnecting."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from connmgr import GaveUpError, NoAnswerError, NotConnectedError, PermanentError, RefusedError
from connmgr.testing import Direction, FaultProxy, run
from connmgr_s7 import S7Connection
from connmgr_s7.simulator import S7Simulator

Supervise = Callable[..., Awaitable[S7Connection]]  # see conftest.py


class Failing(S7Connection):
    """Fails with what it is given, then answers."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__("press_plc", {"host": "127.0.0.1"}, None)
        self.errors = list(errors)
        self.asked_at: list[float] = []

    async def read_db(self, db: int, start: int, size: int) -> bytes:
        self.asked_at.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        return bytes(size)

    async def write_db(self, db: int, start: int, data: object) -> None:
        await self.read_db(db, start, 1)

    async def read_modify_write_byte_bit(self, db: int, byte_start: int, bit_index: int, value: bool) -> None:
        await self.read_db(db, byte_start, 1)


def pauses(connection: Failing) -> list[float]:
    return [round(b - a, 3) for a, b in zip(connection.asked_at, connection.asked_at[1:], strict=False)]


def test_pauses_double_up_to_the_cap() -> None:
    """0.5, 1, 2, 4, 8, 8 s, as in the seed."""
    connection = Failing(*[NotConnectedError("down")] * 6)
    assert run(connection.retrying(max_retries=7).read_db(1, 0, 4)) == bytes(4)
    assert pauses(connection) == [0.5, 1, 2, 4, 8, 8]


def test_giving_up_says_what_how_often_how_long_and_why() -> None:
    """One sentence for the operator; the last error is its cause."""
    last = NotConnectedError("cannot use press_plc: it is in error (no route to host); next attempt in 40 s")
    connection = Failing(NotConnectedError("down"), NotConnectedError("down"), last)
    with pytest.raises(GaveUpError) as caught:
        run(connection.retrying(max_retries=3).read_db(1, 0, 12))
    assert str(caught.value) == (
        "cannot read DB1.DBB0..11 of press_plc: gave up after 3 attempts in 1.5 s, the last one: "
        "cannot use press_plc: it is in error (no route to host); next attempt in 40 s"
    )
    assert caught.value.__cause__ is last
    assert len(connection.asked_at) == 3


def test_each_retry_is_told_in_one_line() -> None:
    """To the callback if there is one."""
    told: list[str] = []
    connection = Failing(NotConnectedError("it is down"), NoAnswerError("it is slow"))
    run(connection.retrying(on_retry=told.append).read_db(1, 0, 4))
    assert told == [
        "press_plc: attempt 1 of 5 failed, the next one in 0.5 s at the latest: it is down",
        "press_plc: attempt 2 of 5 failed, the next one in 1 s at the latest: it is slow",
    ]


def test_without_a_callback_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """As a warning."""
    with caplog.at_level(logging.WARNING):
        run(Failing(NotConnectedError("it is down")).retrying().read_db(1, 0, 4))
    assert "attempt 1 of 5 failed" in caplog.text


@pytest.mark.parametrize("error", [RefusedError("no"), PermanentError("never"), ValueError("what"), KeyError("bug")])
def test_what_time_does_not_heal_is_not_repeated(error: Exception) -> None:
    """It comes through as it is, at once."""
    connection = Failing(error)
    with pytest.raises(type(error)) as caught:
        run(connection.retrying().read_db(1, 0, 4))
    assert caught.value is error
    assert len(connection.asked_at) == 1


@pytest.mark.parametrize("repeat", [False, True])
def test_a_write_that_may_have_been_executed_is_repeated_only_on_request(repeat: bool) -> None:
    """One that was certainly not sent always is."""
    for bit in (False, True):
        connection = Failing(NotConnectedError("down"), NoAnswerError("silence"))
        client = connection.retrying(repeat_writes=repeat)
        attempt = client.read_modify_write_byte_bit(1, 0, 1, value=True) if bit else client.write_db(1, 0, b"x")
        if repeat:
            run(attempt)
        else:
            with pytest.raises(NoAnswerError):
                run(attempt)
        assert len(connection.asked_at) == (3 if repeat else 2)


@pytest.mark.parametrize("wrong", [{"max_retries": 0}, {"base_backoff": 0}, {"max_backoff": -1}])
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    """No attempt, or no pause."""
    with pytest.raises(ValueError, match="cannot"):
        Failing().retrying(**wrong)


async def test_the_logger_of_the_seed_survives_a_restart_of_the_plc(plc: S7Simulator, supervise: Supervise) -> None:
    """Seed 000's demo: read on while the PLC is stopped and started; no read is lost, each retry is told."""
    connection = await supervise(plc.config)
    told: list[str] = []
    client = connection.retrying(max_retries=9999, base_backoff=0.02, max_backoff=0.1, on_retry=told.append)
    await connection.write_db(2, 0, b"good")
    for _ in range(3):
        assert await client.read_db(2, 0, 4) == b"good"
        await plc.stop()
        reading = asyncio.create_task(client.read_db(2, 0, 4))
        writing = asyncio.create_task(client.write_db(2, 8, b"late"))
        await asyncio.sleep(0.3)
        assert not reading.done()
        before = len(told)
        await plc.start()
        assert await reading == b"good"
        await writing
        assert plc.peek(2, 8, 4) == b"late"
        assert before >= 4


async def test_it_goes_on_as_soon_as_the_link_is_back(plc: S7Simulator, supervise: Supervise) -> None:
    """Not only when a long pause has run out."""
    connection = await supervise(plc.config)
    await plc.stop()
    reading = asyncio.create_task(connection.retrying(base_backoff=20, max_backoff=20).read_db(1, 0, 4))
    await asyncio.sleep(0.1)
    await plc.start()
    async with asyncio.timeout(2):
        assert len(await reading) == 4


async def test_it_gives_up_on_a_plc_that_stays_away(plc: S7Simulator, supervise: Supervise) -> None:
    """Bounded, and the error names the link's own state."""
    connection = await supervise(plc.config)
    await plc.stop()
    client = connection.retrying(max_retries=3, base_backoff=0.05, on_retry=lambda _: None)
    with pytest.raises(GaveUpError, match=r"read DB1\.DBB0\.\.3 of plc: gave up after 3 attempts in 0\.\d s"):
        await client.read_db(1, 0, 4)


async def test_a_write_is_not_executed_twice(plc: S7Simulator, supervise: Supervise) -> None:
    """The PLC executed it and consumed the value, the answer was lost: by default the caller decides."""
    async with FaultProxy(plc.host, int(plc.port)) as line:
        connection = await supervise({"host": line.host, "port": line.port, "timeout": 0.2})
        for repeat in (False, True):
            await connection.wait_until_connected(2)
            client = connection.retrying(base_backoff=0.01, on_retry=lambda _: None, repeat_writes=repeat)
            line.silence(Direction.TO_CLIENT)
            writing = asyncio.create_task(client.write_db(2, 30, b"\1"))
            while plc.peek(2, 30, 1) != b"\1":
                await asyncio.sleep(0.001)
            plc._blocks[2][30] = 0  # the PLC's program takes the command
            await asyncio.sleep(0.25)
            line.heal()
            line.cut()
            await asyncio.wait([writing])
            assert plc.peek(2, 30, 1) == (b"\1" if repeat else b"\0")
            assert isinstance(writing.exception(), NoAnswerError) is not repeat
            plc._blocks[2][30] = 0
