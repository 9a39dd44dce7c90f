"""Exchanges under a supervisor, in virtual time."""

import asyncio
import time

import pytest

from connmgr import ContractError, NoAnswerError, NotConnectedError, RefusedError, TransientError
from connmgr.link import Exchange, Link
from connmgr.states import ConnectionStatus as S
from tests.unit.scripted import Scripted, supervised, virtually


@virtually
async def test_unfinished_exchange_breaks_the_link() -> None:
    """A timed-out exchange refuses the next one until the link has been reopened."""
    c = Scripted()
    async with supervised(c, health_check_interval=1000) as h:
        await h.until(S.CONNECTED)
        with pytest.raises(NoAnswerError):
            async with c.exchange(2.0):
                await asyncio.sleep(10)
        with pytest.raises(NotConnectedError):
            async with c.exchange(2.0):
                pass
        await h.until(S.ERROR)
        assert [event.layer for event in h.log.after(0)][-1] == "device"
        with pytest.raises(NotConnectedError, match="next attempt in 5 s"):
            async with c.exchange(2.0):
                pass
        await c.wait_until_connected(10)
        async with c.exchange(2.0):
            pass
        assert c.names() == ["connect", "disconnect", "connect"]


@virtually
async def test_waiting_exchange_does_not_slip_into_the_next_session() -> None:
    """Whoever waited for its turn while the link broke is refused, not let loose on the new link."""
    c = Scripted()
    async with supervised(c, health_check_interval=1000, reconnect_delay_initial=0.5) as h:
        await h.until(S.CONNECTED)

        async def hold() -> None:
            async with c.exchange(100):
                await asyncio.sleep(10)

        async def wait_for_a_turn() -> None:
            async with c.exchange(100):
                pass

        holder = asyncio.create_task(hold())
        await asyncio.sleep(0.1)
        waiter = asyncio.create_task(wait_for_a_turn())
        await asyncio.sleep(0.1)
        c.connection_lost("unplugged")
        await asyncio.sleep(3)
        assert h.has(S.CONNECTED)
        with pytest.raises(NotConnectedError, match="reopened"):
            await waiter
        await holder
        assert h.has(S.CONNECTED)


@virtually
async def test_a_busy_link_is_not_a_broken_one() -> None:
    """Who gets the link late still has the whole of its timeout: a queue breaks no link that answers in time."""
    c = Scripted()
    async with supervised(c, health_check_interval=1000) as h:
        await h.until(S.CONNECTED)

        async def ask() -> None:
            async with c.exchange(2.0):
                await asyncio.sleep(0.45)

        results = await asyncio.gather(*(ask() for _ in range(6)), return_exceptions=True)
        assert results[:5] == [None] * 5
        assert str(results[5]) == "cannot use press: still busy after 2 s"
        assert h.events == ["connecting", "connected"]


@virtually
async def test_a_wait_has_a_deadline_also_behind_one_whose_turn_is_next() -> None:
    """Who comes in the moment between a release and the next one's turn waits no longer than its own timeout."""
    c = Scripted()
    loop = asyncio.get_running_loop()
    async with supervised(c, health_check_interval=1000) as h:
        await h.until(S.CONNECTED)

        async def first() -> None:
            async with c.exchange(100):
                await asyncio.sleep(1)
            began = loop.time()
            with pytest.raises(TransientError, match="still busy after 2 s"):
                async with c.exchange(2):
                    pass
            assert loop.time() - began == pytest.approx(2)

        async def second() -> None:
            async with c.exchange(100):
                await asyncio.sleep(30)

        await asyncio.gather(first(), second())


@virtually
async def test_nobody_speaks_while_connect_does() -> None:
    """While connect() is at work the link is the plugin's alone: others are refused, its own exchanges are not."""
    c = Scripted()

    async def log_in() -> bool:
        async with c.exchange(5):
            await asyncio.sleep(3)
        return True

    c.on_connect = log_in
    async with supervised(c, health_check_interval=1000) as h:
        await asyncio.sleep(1)
        assert h.has(S.CONNECTING)
        with pytest.raises(NotConnectedError, match="cannot use press: it is connecting"):
            async with c.exchange(60):
                pass
        await h.until(S.CONNECTED)
        async with c.exchange(1):
            pass


@virtually
async def test_an_exchange_inside_of_an_exchange_is_told_at_once() -> None:
    """It would wait for itself and blame the device; another task waits for its turn as ever."""
    c = Scripted()
    async with supervised(c, health_check_interval=1000) as h:
        await h.until(S.CONNECTED)
        started = asyncio.get_running_loop().time()
        with pytest.raises(ContractError, match="inside of an exchange"):
            async with c.exchange(2.0), c.exchange(2.0):
                pytest.fail("there is no such thing")
        assert asyncio.get_running_loop().time() == started
        await h.until(S.ERROR)
        await c.wait_until_connected(10)

        async def hold() -> None:
            async with c.exchange(2.0):
                await asyncio.sleep(1)

        await asyncio.gather(hold(), hold())
        assert h.has(S.CONNECTED)


def test_plain_exchanges_inside_of_each_other() -> None:
    """The same in plain methods, where nothing else would end the waiting."""
    c = Scripted()
    with pytest.raises(ContractError, match="inside of an exchange"), c.exchange(30.0), c.exchange(30.0):
        pytest.fail("there is no such thing")
    with c.exchange(1.0):
        pass
    with c.exchange(1.0):
        pass


@virtually
async def test_a_refusal_is_an_answer() -> None:
    """An exchange that the device refused is finished: the link stays, and counts as alive."""
    c = Scripted()
    async with supervised(c, health_check_interval=10) as h:
        await h.until(S.CONNECTED)
        for _ in range(10):
            with pytest.raises(RefusedError):
                async with c.exchange(2.0):
                    raise RefusedError("cannot write: the address is read-only")
            await asyncio.sleep(9)
        assert h.events == ["connecting", "connected"]
        assert c.names() == ["connect"]


async def test_plain_and_async_exchanges_exclude_each_other() -> None:
    """A plain method's exchange and an async one's on the same link: never two at once, and both get their turns."""
    link = Link("press")
    link.begin_session()
    at_once: list[int] = []
    running = 0

    def enter() -> None:
        nonlocal running
        running += 1
        at_once.append(running)

    def leave() -> None:
        nonlocal running
        running -= 1

    def plain() -> None:
        for _ in range(50):
            with Exchange(link, 10):
                enter()
                time.sleep(0.0005)
                leave()

    async def asynchronous() -> None:
        for _ in range(50):
            async with Exchange(link, 10):
                enter()
                await asyncio.sleep(0.0005)
                leave()

    await asyncio.gather(asyncio.to_thread(plain), asyncio.to_thread(plain), asynchronous(), asynchronous())
    assert len(at_once) == 200
    assert max(at_once) == 1


async def test_a_cancelled_waiter_hands_the_link_on() -> None:
    """Who is cancelled at the very moment of its turn does not keep the lock."""
    link = Link("press")
    link.begin_session()
    lock = link.lock()
    await lock.acquire()
    waiters = [asyncio.create_task(lock.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    lock.release()
    waiters[0].cancel()
    await asyncio.wait([waiters[1]], timeout=1)
    assert waiters[1].done()
    assert not waiters[2].done()
    assert not lock.acquire_in_thread(0.01)
    lock.release()
    await asyncio.wait([waiters[2]], timeout=1)
    lock.release()
    assert not lock.locked()
