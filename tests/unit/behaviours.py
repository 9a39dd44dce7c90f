"""What a plugin may do inside one call: honestly, badly, or against all rules. Each takes the probe that plays it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from connmgr import AuthError, ContractError, RefusedError, RetryAfter, TransientError

if TYPE_CHECKING:
    from tests.unit.world import Probe

Behaviour = Callable[["Probe"], Awaitable[Any]]


class StrangeError(BaseException):
    """None of Python's own and no `Exception` either."""


class UnreadableError(Exception):
    """Raises when it is told."""

    def __str__(self) -> str:
        raise SystemExit(3)


class Undecided:
    """Neither true nor false."""

    def __bool__(self) -> bool:
        raise KeyboardInterrupt


def answering(value: object) -> Behaviour:
    """Answer that at once."""

    async def answer(_: "Probe") -> object:
        return value

    return answer


def raising(make: Callable[[], BaseException]) -> Behaviour:
    """Raise that at once."""

    async def fail(_: "Probe") -> bool:
        raise make()

    return fail


async def _nothing() -> None:
    """A coroutine for those who forget to await."""


async def slow(_: "Probe") -> bool:
    """Answer True after a while."""
    await asyncio.sleep(0.3)
    return True


async def slow_no(_: "Probe") -> bool:
    """Fail after a while."""
    await asyncio.sleep(0.3)
    raise ConnectionResetError("connection reset")


async def hang(_: "Probe") -> bool:
    """Never end, but let itself be cancelled."""
    await asyncio.sleep(1e9)
    return True


async def coroutine(_: "Probe") -> Any:
    """Answer with something nobody awaited."""
    return _nothing()


async def chatty(probe: "Probe") -> bool:
    """Count what it receives itself while it asks."""
    await asyncio.sleep(0.1)
    probe.update_stats(packets_sent=1, packets_received=1)
    return True


async def drop_inside(probe: "Probe") -> bool:
    """Report the loss before having answered."""
    probe.connection_lost("lost while it was being opened")
    return True


async def drop_soon(probe: "Probe") -> bool:
    """Answer True, and report the loss a moment later."""
    asyncio.get_running_loop().call_later(0.01, probe.connection_lost, "closed by the peer")
    return True


async def drop_much_later(probe: "Probe") -> bool:
    """Leave something behind that reports a loss when the session may be over."""
    asyncio.get_running_loop().call_later(8, probe.connection_lost, "reported late")
    return True


async def drop_from_thread(probe: "Probe") -> bool:
    """Report the loss from a thread of its own."""
    thread = threading.Thread(target=probe.connection_lost, args=("reported by a thread",))
    thread.start()
    thread.join()
    return True


async def cancels_itself(_: "Probe") -> bool:
    """Cancel the task it runs in."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)
    return True


async def busy_until_cancelled(_: "Probe") -> bool:
    """Translate its cancellation into an error of its own."""
    try:
        await asyncio.sleep(1e9)
    except asyncio.CancelledError:
        raise ValueError("do not disturb") from None
    return True


def ignoring(seconds: float, answer: bool | None) -> Behaviour:
    """Ignore every cancellation; so many seconds after the first one answer (None: raise). Ends when let go, too."""

    async def ignore(probe: "Probe") -> bool:
        until: float | None = None
        loop = asyncio.get_running_loop()
        while not probe.world.let_go.is_set() and (until is None or loop.time() < until):
            try:
                async with asyncio.timeout_at(until):
                    await probe.world.let_go.wait()
            except asyncio.CancelledError:
                until = loop.time() + seconds if until is None else until
            except TimeoutError:
                break
        if answer is None:
            raise PermissionError("too late to matter")
        return answer

    return ignore


GOOD: Mapping[str, Behaviour] = {
    "yes": answering(True),
    "slow": slow,
    "chatty": chatty,
}

BAD: Mapping[str, Behaviour] = {
    "refuse": raising(lambda: ConnectionRefusedError("connection refused")),
    "slow no": slow_no,
    "False": answering(False),
    "None": answering(None),
    "1": answering(1),
    '"yes"': answering("yes"),
    "undecided": answering(Undecided()),
    "coroutine": coroutine,
    "transient": raising(lambda: TransientError("not now")),
    "retry after": raising(lambda: RetryAfter(7, "all slots taken")),
    "wrong password": raising(lambda: AuthError("cannot log in")),
    "refused": raising(lambda: RefusedError("no")),
    "contract": raising(lambda: ContractError("odd")),
    "ValueError": raising(lambda: ValueError("a bug")),
    "BaseException": raising(StrangeError),
    "unreadable": raising(UnreadableError),
    "SystemExit": raising(SystemExit),
    "KeyboardInterrupt": raising(KeyboardInterrupt),
    "CancelledError": raising(asyncio.CancelledError),
    "GeneratorExit": raising(GeneratorExit),
    "StopIteration": raising(StopIteration),
    "StopAsyncIteration": raising(StopAsyncIteration),
    "RecursionError": raising(RecursionError),
    "MemoryError": raising(MemoryError),
    "cancels itself": cancels_itself,
}

HANGING: Mapping[str, Behaviour] = {
    "hang": hang,
    "busy until cancelled": busy_until_cancelled,
    "late yes": ignoring(0.2, answer=True),
    "zombie yes": ignoring(3, answer=True),
    "zombie error": ignoring(40, answer=None),
    "zombie for ever": ignoring(1e8, answer=True),
}

DROPPING: Mapping[str, Behaviour] = {
    "drop inside": drop_inside,
    "drop soon": drop_soon,
    "drop much later": drop_much_later,
    "drop from thread": drop_from_thread,
}

ALL: Mapping[str, Behaviour] = {**GOOD, **BAD, **HANGING, **DROPPING}
