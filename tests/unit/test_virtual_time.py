"""The virtual-time loop."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from connmgr.testing import VirtualTimeLoop, run


def _loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


def test_a_day_takes_no_time() -> None:
    """Sleeping costs virtual time only, and exactly what was asked for."""

    async def main() -> float:
        start = _loop().time()
        await asyncio.sleep(3 * 86_400)
        return _loop().time() - start

    real = time.monotonic()
    assert run(main()) == pytest.approx(3 * 86_400, abs=1e-6)
    assert time.monotonic() - real < 1.0


def test_time_does_not_begin_at_zero() -> None:
    """Code that takes 0.0 for "never" is found out."""

    async def main() -> float:
        return _loop().time()

    assert run(main()) > 0


def test_timers_fire_in_order() -> None:
    """Timers fire at their own time, in the order of their times."""

    async def main() -> list[tuple[str, float]]:
        start, seen = _loop().time(), []

        async def nap(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, round(_loop().time() - start, 6)))

        async with asyncio.TaskGroup() as group:
            for name, seconds in (("c", 30.0), ("a", 0.1), ("b", 7.5)):
                group.create_task(nap(name, seconds), name=name)
        return seen

    assert run(main()) == [("a", 0.1), ("b", 7.5), ("c", 30.0)]


def test_timeouts_run_out_in_virtual_time() -> None:
    """asyncio.timeout works on the loop's clock."""

    async def main() -> float:
        start = _loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.sleep(3600)
        return _loop().time() - start

    assert run(main()) == pytest.approx(60)


@pytest.mark.leaves_behind("the hanging task is what the test is about")
def test_a_hang_is_an_error() -> None:
    """With nothing left to wait for, the loop says so instead of hanging."""

    async def main() -> None:
        await _loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock: no timer and no I/O left to wait for"):
        run(main())


def test_ready_io_goes_first() -> None:
    """Bytes that have arrived are served before the clock moves to the next timer."""

    async def main() -> tuple[bytes, float]:
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            start = _loop().time()
            async with asyncio.timeout(0.001), asyncio.TaskGroup() as group:
                waiting = group.create_task(_loop().sock_recv(near, 10), name="reader")
                await asyncio.sleep(0)
                far.send(b"here")
            return waiting.result(), _loop().time() - start

    assert run(main()) == (b"here", 0.0)


def test_executor_jobs_hold_the_clock() -> None:
    """A job in a worker thread takes no virtual time, however long it really takes."""

    def work() -> str:
        time.sleep(0.05)
        return "done"

    async def main() -> tuple[str, float]:
        start = _loop().time()
        async with asyncio.timeout(0.001):
            answer = await asyncio.to_thread(work)
        return answer, _loop().time() - start

    assert run(main()) == ("done", 0.0)


def test_an_own_executor_holds_the_clock_too() -> None:
    """run_in_executor with a given executor is waited for, and its exception arrives."""

    def fail() -> None:
        time.sleep(0.02)
        raise LookupError("nothing there")

    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            async with asyncio.timeout(0.001):
                await _loop().run_in_executor(pool, fail)

    with pytest.raises(LookupError, match="nothing there"):
        run(main())


def test_a_thread_can_call_in() -> None:
    """call_soon_threadsafe from a plain thread works, and `external` keeps the clock still meanwhile."""

    async def main() -> tuple[str, float]:
        start, answer = _loop().time(), _loop().create_future()
        loop = _loop()

        def work() -> None:
            time.sleep(0.05)
            loop.call_soon_threadsafe(answer.set_result, "hello")

        thread = threading.Thread(target=work, name="plain thread")
        with loop.external():
            thread.start()
            async with asyncio.timeout(0.001):
                said = await answer
        thread.join()
        return said, loop.time() - start

    assert run(main()) == ("hello", 0.0)


def test_a_thread_that_never_returns_does_not_stop_the_clock_for_ever() -> None:
    """After `patience` real seconds deadlines run out over a stuck thread, and later jumps do not wait for it again."""
    release = threading.Event()

    async def main() -> float:
        start = time.monotonic()
        job = _loop().run_in_executor(None, release.wait)
        for _ in range(50):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10):
                    await asyncio.shield(job)
        release.set()
        await job
        return time.monotonic() - start

    assert run(main(), patience=0.05) < 1.0


def test_a_cancelled_job_still_holds_the_clock() -> None:
    """Cancelling the await does not end the thread, so what it says later still comes before the next timer."""

    async def main() -> bool:
        loop, called, go = _loop(), threading.Event(), threading.Event()

        def work() -> None:
            go.wait()
            time.sleep(0.02)
            called.set()

        job = loop.run_in_executor(None, work)
        await asyncio.sleep(0)
        job.cancel()
        go.set()
        await asyncio.sleep(3600)
        return called.is_set()

    assert run(main()) is True
