"""Events: numbered, kept, and delivered to callbacks that may do anything."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connmgr import BaseConnection, ConnmgrError
from connmgr.events import KEPT, QUEUED, SUBSCRIBERS, EventLog, iso
from connmgr.states import ConnectionStatus as S
from tests.unit.behaviours import StrangeError, UnreadableError
from tests.unit.scripted import Scripted, virtually


def publish(log: EventLog, connection: BaseConnection, times: int = 1) -> None:
    for _ in range(times):
        log.publish(connection, "connecting", S.DISCONNECTED, S.CONNECTING, reason=None, layer=None, attempts=0)


@asynccontextmanager
async def event_log() -> AsyncIterator[tuple[EventLog, Scripted]]:
    log = EventLog()
    yield log, Scripted()
    await log.close()


async def settle() -> None:
    await asyncio.sleep(0.01)


@virtually
async def test_numbers_and_waiting() -> None:
    """Events are numbered without gaps; a reader gets what is new, waits for it, and can tell a restart."""
    async with event_log() as (log, c):
        assert list(await log.wait(0, 1)) == []
        waiter = asyncio.create_task(log.wait(0, 100))
        await settle()
        publish(log, c, 3)
        assert [event.seq for event in await waiter] == [1, 2, 3]
        assert [event.seq for event in log.after(2)] == [3]
        assert list(log.after(3)) == []
        publish(log, c, KEPT)
        assert [event.seq for event in log.after(0)] == list(range(4, KEPT + 4))
        assert [event.seq for event in log.of("press", 2)] == [KEPT + 2, KEPT + 3]
        assert log.of("another", 2) == []
        assert log.boot_id != EventLog().boot_id


@virtually
async def test_an_event_names_the_true_connection() -> None:
    """A plugin that assigns another's connection_id still speaks only for itself."""
    async with event_log() as (log, c):
        c.connection_id = "somebody else"
        publish(log, c)
        assert [event.connection_id for event in log.after(0)] == ["press"]


def test_iso() -> None:
    """Nanoseconds become ISO 8601 in UTC."""
    assert iso(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123Z"


@virtually
async def test_unknown_names_and_too_many() -> None:
    """A name that does not exist is refused with those that do; and there is an end to subscribing."""
    async with event_log() as (log, _):
        with pytest.raises(ConnmgrError, match="cannot subscribe to 'conected': the events are connected, connecting"):
            log.subscribe("conected", print)
        for _ in range(SUBSCRIBERS):
            log.subscribe("*", print)
        with pytest.raises(ConnmgrError, match="there are 1000 subscribers already"):
            log.subscribe("*", print)


@pytest.mark.parametrize(
    "error", [ValueError, StrangeError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit,
              StopIteration, StopAsyncIteration, RecursionError, MemoryError, UnreadableError],
)  # fmt: skip
@pytest.mark.parametrize("plain", [True, False])
def test_a_callback_that_raises(error: type[BaseException], plain: bool) -> None:
    """Whatever a callback raises is counted, and it is called again with the next event; others hear everything."""

    @virtually
    async def scenario() -> None:
        async with event_log() as (log, c):
            heard: list[str] = []

            async def in_loop(_: BaseConnection) -> None:
                raise error

            def in_thread(_: BaseConnection) -> None:
                raise error

            async def listen(connection: BaseConnection) -> None:
                heard.append(connection.connection_id)

            log.subscribe("*", in_thread if plain else in_loop)
            log.subscribe("*", listen)
            publish(log, c, 3)
            await settle()
            assert heard == ["press"] * 3
            assert log.figures() == {"events": 3, "dropped": 0, "failed_callbacks": 3}

    scenario()


@virtually
async def test_a_callback_that_never_returns() -> None:
    """It delays nobody; its queue is bounded, and what it misses is counted."""
    async with event_log() as (log, c):
        heard: list[str] = []

        async def hang(_: BaseConnection) -> None:
            await asyncio.sleep(1e9)

        async def listen(connection: BaseConnection) -> None:
            heard.append(connection.connection_id)

        log.subscribe("*", hang)
        log.subscribe("*", listen)
        for _ in range(QUEUED + 11):
            publish(log, c)
            await asyncio.sleep(0)
        await settle()
        assert len(heard) == QUEUED + 11
        assert log.figures()["dropped"] == 10


@virtually
async def test_a_callback_that_blocks_its_thread() -> None:
    """A plain callback that blocks holds up neither the loop nor the others."""
    release = threading.Event()
    async with event_log() as (log, c):
        heard: list[str] = []

        async def listen(connection: BaseConnection) -> None:
            heard.append(connection.connection_id)
            release.set()

        def block(_: BaseConnection) -> None:
            release.wait(10)

        log.subscribe("*", block)
        log.subscribe("*", listen)
        publish(log, c)
        await settle()
        assert heard == ["press"]


class Awaited:
    """A callable object whose call is a coroutine."""

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    async def __call__(self, connection: BaseConnection) -> None:
        await asyncio.sleep(0)
        self.heard.append(connection.connection_id)


@pytest.mark.parametrize("wrap", [lambda made: made, lambda made: lambda one: made(one)])  # noqa: PLW0108 - authors do
def test_a_callback_that_is_async_in_disguise(wrap: Callable[[Any], Any]) -> None:
    """An object with an async __call__, or a lambda around one, is awaited like an async function."""

    @virtually
    async def scenario() -> None:
        async with event_log() as (log, c):
            heard: list[str] = []
            log.subscribe("*", wrap(Awaited(heard)))
            publish(log, c, 2)
            await settle()
            assert heard == ["press"] * 2
        gc.collect()

    scenario()


@pytest.mark.parametrize("plain", [True, False])
def test_a_callback_that_unsubscribes_itself(plain: bool) -> None:
    """It is not called again, and what it still does in that call is not cut short."""

    @virtually
    async def scenario() -> None:
        async with event_log() as (log, c):
            heard: list[str] = []
            threads = threading.active_count()

            def once_plain(_: BaseConnection) -> None:
                end()
                heard.append("done")

            async def once(_: BaseConnection) -> None:
                end()
                await asyncio.sleep(1)
                heard.append("done")

            end = log.subscribe("*", once_plain if plain else once)
            publish(log, c, 3)
            await asyncio.sleep(2)
            publish(log, c, 3)
            await asyncio.sleep(2)
            assert heard == ["done"]
            assert log.figures()["dropped"] == 0
            end()
            while threading.active_count() > threads:
                await asyncio.sleep(0.1)

    scenario()


@virtually
async def test_unsubscribing_a_callback_that_hangs() -> None:
    """It ends with the log at the latest."""
    async with event_log() as (log, c):

        async def hang(_: BaseConnection) -> None:
            await asyncio.sleep(1e9)

        end = log.subscribe("*", hang)
        publish(log, c)
        await settle()
        end()
        await settle()
    assert len(asyncio.all_tasks()) == 1


def test_subscribing_before_there_is_a_loop() -> None:
    """An embedding program may subscribe, and think better of it, before it starts its loop."""
    log = EventLog()
    log.subscribe("*", print)()
    asyncio.run(log.close())


@virtually
async def test_a_callback_for_which_there_is_no_thread() -> None:
    """When the system has no thread left, the callback misses its event and nobody else notices."""
    heard: list[str] = []

    def no_thread(_: object) -> None:
        raise RuntimeError("can't start new thread")

    async with event_log() as (log, c):
        log.subscribe("*", lambda connection: heard.append(connection.connection_id))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            publish(log, c)
        publish(log, c)
        await settle()
        assert heard == ["press"] * 2
        assert log.figures()["failed_callbacks"] == 1
