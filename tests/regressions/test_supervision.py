"""What once went wrong in supervising one connection; most of it was found by the state machine of the invariants."""

import asyncio

from connmgr.commands import Command
from connmgr.states import ConnectionStatus as S
from tests.unit.scripted import Scripted, Stubborn, hang, supervised, virtually


@virtually
async def test_cancelled_during_connect() -> None:
    """An owner that is cancelled while it dials cuts the dial off, disconnects and ends disconnected."""
    c = Scripted()
    c.on_connect = hang
    async with supervised(c) as h:
        await asyncio.sleep(1)
        h.task.cancel()
        await asyncio.wait([h.task], timeout=1)
        assert h.task.cancelled()
        assert c.names() == ["connect", "disconnect"]
        assert h.status is S.DISCONNECTED


@virtually
async def test_cancelled_during_disconnect() -> None:
    """Cancelled while it hangs up, an owner leaves the disconnect its time."""
    c = Scripted()
    finished = []

    async def slowly() -> bool:
        await asyncio.sleep(2)
        finished.append(True)
        return True

    c.on_disconnect = slowly
    async with supervised(c) as h:
        await h.until(S.CONNECTED)
        c.connection_lost("unplugged")
        await h.until(S.ERROR)
        h.task.cancel()
        await asyncio.wait([h.task], timeout=3)
        assert finished == [True]
        assert c.names() == ["connect", "disconnect"]
        assert h.status is S.DISCONNECTED


@virtually
async def test_cancelled_twice() -> None:
    """A second cancellation ends the waiting; the status is right all the same."""
    c = Scripted()
    c.on_disconnect = hang
    async with supervised(c) as h:
        await h.until(S.CONNECTED)
        h.task.cancel()
        await asyncio.sleep(0.1)
        h.task.cancel()
        await asyncio.wait([h.task], timeout=0.1)
        assert h.task.cancelled()
        assert h.status is S.DISCONNECTED
        c.on_disconnect = Scripted().on_disconnect
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


@virtually
async def test_a_zombie_outlives_its_owner() -> None:
    """A connect that returns after its owner has gone still gets its disconnect: a PLC has few slots."""
    c = Scripted()
    c.on_connect = stubborn = Stubborn()
    async with supervised(c) as h:
        await asyncio.sleep(1)
        h.supervisor.stop()
        await asyncio.wait([h.task], timeout=2)
        assert h.task.done()
        assert c.names() == ["connect"]
        stubborn.let_go.set()
        await asyncio.sleep(1)
        assert c.names() == ["connect", "disconnect"]


@virtually
async def test_a_command_does_not_undo_the_stop() -> None:
    """What is asked of an owner that is being removed comes too late."""
    c = Scripted()
    async with supervised(c) as h:
        await h.until(S.CONNECTED)
        h.supervisor.stop()
        h.supervisor.command(Command.CONNECT)
        await asyncio.wait([h.task], timeout=1)
        assert h.task.done()
