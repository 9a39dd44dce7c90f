"""Exchanges under a supervisor, in virtual time."""

import asyncio

import pytest

from connmgr import NoAnswerError, NotConnectedError
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
