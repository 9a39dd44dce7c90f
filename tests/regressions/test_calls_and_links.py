"""What once went wrong between a plugin and its supervisor."""

import asyncio
import contextvars
import threading

import pytest

from connmgr.calls import LAST_DISCONNECT
from connmgr.states import ConnectionStatus as S
from tests.unit.behaviours import UnreadableError
from tests.unit.scripted import Scripted, hang, supervised, virtually


@virtually
async def test_a_last_error_that_cannot_be_read() -> None:
    """A plugin returns False and assigns as last_error what raises SystemExit when it is read."""
    c = Scripted()

    async def no() -> bool:
        c.last_error = UnreadableError()  # type: ignore[assignment]
        return False

    c.on_connect = no
    async with supervised(c) as h:
        await h.until(S.ERROR, within=1)
        assert "SystemExit" in (c.last_error or "")
        assert c.names() == ["connect", "disconnect"]


@virtually
async def test_methods_that_cannot_even_be_looked_up() -> None:
    """A property in place of a method may raise: the plugin's bug, not ours."""

    class Odd(Scripted):
        @property
        def connect(self) -> object:  # type: ignore[override]
            raise KeyboardInterrupt

    c = Odd()
    async with supervised(c) as h:
        await h.until(S.ERROR, within=1)
        assert h.supervisor.record.bugs == 1


@virtually
async def test_no_thread_left() -> None:
    """When the system has no thread for a plain method, the attempt fails and the next one may work."""

    class Plain(Scripted):
        def connect(self) -> bool:  # type: ignore[override]
            return True

        def disconnect(self) -> bool:  # type: ignore[override]
            return True

        def health_check(self) -> bool:  # type: ignore[override]
            return True

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        async with supervised(Plain()) as h:
            await h.until(S.ERROR, within=1)
            assert "can't start new thread" in (h.connection.last_error or "")
            patch.undo()
            await h.until(S.CONNECTED, within=10)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (None, "the plugin reported the link as lost"),
        ("", "the plugin reported the link as lost"),
        (ConnectionResetError("reset by peer"), "reset by peer"),
        (UnreadableError(), "UnreadableError: its text cannot be read"),
        ({}, "the plugin reported the link as lost"),
        ("x" * 10_000_000, "x" * 500),
    ],
)
def test_what_authors_hand_on_as_reason(reason: object, told: str) -> None:
    """connection_lost gets whatever a transport's callback got: an exception, None, anything."""

    @virtually
    async def scenario() -> None:
        async with supervised() as h:
            await h.until(S.CONNECTED)
            h.connection.connection_lost(reason)  # type: ignore[arg-type]
            await h.until(S.ERROR, within=1)
            assert h.connection.last_error == told

    scenario()


@virtually
async def test_traffic_of_an_old_session_proves_nothing() -> None:
    """What still arrives on an earlier session's socket must not keep a dead link looking alive."""
    c = Scripted()
    contexts: list[contextvars.Context] = []

    async def remember() -> bool:
        contexts.append(contextvars.copy_context())
        return True

    c.on_connect = remember
    async with supervised(c, health_check_interval=10) as h:
        await h.until(S.CONNECTED)
        c.connection_lost("unplugged")
        await h.until(S.ERROR)
        await h.until(S.CONNECTED)
        for _ in range(100):
            await asyncio.sleep(1)
            contexts[0].run(lambda: c.update_stats(packets_received=1))
        assert len(c.times("health_check")) >= 9


@virtually
async def test_an_exchange_that_outruns_its_deadline() -> None:
    """An exchange that eats its cancellation must not pass for proof of life for ever."""
    c = Scripted()

    async def ask() -> bool:
        async with c.exchange(1.0):
            pass
        return True

    async def stubborn() -> None:
        async with c.exchange(1.0):
            while c.running is not None:
                try:
                    await asyncio.sleep(1e6)
                except asyncio.CancelledError:
                    continue

    c.on_check = ask
    async with supervised(c, health_check_interval=10) as h:
        await h.until(S.CONNECTED)
        task = asyncio.create_task(stubborn())
        await h.until(S.ERROR, within=30)
        c.running = None  # type: ignore[assignment]
        task.cancel()
        await asyncio.wait([task])
        c.running = 0


@virtually
async def test_a_disconnect_that_nobody_waits_for_any_more_ends() -> None:
    """An owner that is cancelled once more while it hangs up leaves no disconnect() behind that goes on for ever."""
    c = Scripted()
    c.on_disconnect = hang
    async with supervised(c) as h:
        await h.until(S.CONNECTED)
        h.task.cancel()
        await asyncio.sleep(0.1)
        h.task.cancel()
        await asyncio.wait([h.task], timeout=1)
        assert c.running == 1
        await asyncio.sleep(LAST_DISCONNECT + 1)
        assert c.running == 0
