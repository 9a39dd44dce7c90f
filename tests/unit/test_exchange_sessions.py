"""Exchanges that wait for the link while it is reopened: what belongs to two sessions must never meet."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from types import CodeType, FrameType

import pytest

from connmgr import ConnectionStatus, NotConnectedError
from connmgr.link import Exchange, Link
from connmgr.link_lock import LinkLock
from connmgr.testing import run


class Owner:
    """A supervisor that only listens."""

    def link_lost(self, reason: str) -> None:
        pass

    def answered(self, round_trip: float) -> None:
        pass

    def outlook(self) -> str:
        return "it is down"


def opened() -> Link:
    link = Link("press")
    link.supervise(Owner())
    link.begin_session()
    link.set_status(ConnectionStatus.CONNECTED)
    return link


def reopen(link: Link) -> None:
    link.lost(link.session, "the peer closed")
    link.end_session()
    link.begin_session()


def test_who_waits_while_the_link_is_reopened_sends_nothing() -> None:
    """An exchange that waited through a reconnect raises, and leaves the new session to those who begin in it."""

    async def scenario() -> None:
        link = opened()
        inside: list[str] = []

        async def use(name: str, seconds: float) -> None:
            async with Exchange(link, 60):
                inside.append(name)
                await asyncio.sleep(seconds)
                inside.remove(name)

        first = asyncio.create_task(use("first", 3))
        await asyncio.sleep(1)
        waiting = asyncio.create_task(use("waiting", 10))
        await asyncio.sleep(1)
        reopen(link)
        fresh = asyncio.create_task(use("fresh", 10))
        await asyncio.sleep(5)
        assert inside == ["fresh"]
        with pytest.raises(NotConnectedError, match="cannot use press: it was reopened meanwhile; nothing was sent"):
            await waiting
        await asyncio.gather(first, fresh)

    run(scenario())


async def test_a_thread_that_waits_while_the_link_is_reopened_sends_nothing() -> None:
    """The same for plain methods."""
    link = opened()
    started, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with Exchange(link, 10):
            started.set()
            go_on.wait(10)

    def waiting() -> None:
        with Exchange(link, 10):
            pytest.fail("the exchange of an earlier session got into the new one")

    holder = asyncio.create_task(asyncio.to_thread(first))
    await asyncio.to_thread(started.wait, 10)
    waiter = asyncio.create_task(asyncio.to_thread(waiting))
    while not _has_waited(waiter):
        await asyncio.sleep(0.01)
    reopen(link)
    go_on.set()
    await holder
    with pytest.raises(NotConnectedError, match="it was reopened meanwhile"):
        await waiter


def _has_waited(waiter: asyncio.Task[None]) -> bool:
    """Whether the thread of `waiting` stands at the lock: seen from outside, its `Event.wait` below our frame."""
    stood = LinkLock.acquire_in_thread.__code__
    tops = sys._current_frames().values()
    return waiter.done() or any(top.f_code is not stood and _is_below(stood, top) for top in tops)


def _is_below(code: CodeType, frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


@pytest.fixture
def eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_threads_that_come_first_together_share_one_lock() -> None:
    """Four threads that use a link for the first time at the same moment get the same lock."""
    for _ in range(300):
        locks = _locks_of_the_first_threads(Link("press"))
        assert len({id(lock) for lock in locks}) == 1


def _locks_of_the_first_threads(link: Link) -> list[LinkLock]:
    found, together = list[LinkLock](), threading.Barrier(4)

    def come() -> None:
        together.wait()
        found.append(link.lock())

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
