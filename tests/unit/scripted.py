"""A connection that does what a test tells it, and a harness that runs its supervisor in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from connmgr import AppContext, BaseConnection, ConnectionStatus
from connmgr.dialing import DialLimiter
from connmgr.events import EventLog
from connmgr.settings import GlobalSettings
from connmgr.states import HEALTH_CHECK_FAILED
from connmgr.supervisor import Supervisor
from connmgr.testing import VirtualTimeLoop

Behaviour = Callable[[], Coroutine[Any, Any, bool]]


async def yes() -> bool:
    """Answer True at once."""
    return True


async def refuse() -> bool:
    """Fail as a closed port does."""
    raise ConnectionRefusedError("connection refused")


async def hang() -> bool:
    """Never end, but let itself be cancelled."""
    await asyncio.sleep(1e9)
    return True


class Stubborn:
    """A call that ignores cancellation until the test lets it go; then it answers True."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def __call__(self) -> bool:
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue
        return True


class Scripted(BaseConnection):
    """Each of its calls is written down with its time, and behaves as `on_<call>` says."""

    def __init__(self, connection_id: str = "press") -> None:
        super().__init__(connection_id, {}, AppContext(manager=None))  # type: ignore[arg-type]  # no manager here
        self.on_connect: Behaviour = yes
        self.on_check: Behaviour = yes
        self.on_disconnect: Behaviour = yes
        self.calls: list[tuple[float, str]] = []
        self.running = 0

    async def _play(self, name: str, behaviour: Behaviour) -> bool:
        assert self.running == 0, f"{name} while another call is running"
        self.calls.append((asyncio.get_running_loop().time(), name))
        self.running += 1
        try:
            return await behaviour()
        finally:
            self.running -= 1

    async def connect(self) -> bool:
        return await self._play("connect", self.on_connect)

    async def disconnect(self) -> bool:
        return await self._play("disconnect", self.on_disconnect)

    def is_connected(self) -> bool:
        return True

    async def health_check(self) -> bool:
        return await self._play("health_check", self.on_check)

    def times(self, name: str) -> list[float]:
        """When a call was made, in seconds after the first of all calls."""
        return [round(at - self.calls[0][0], 6) for at, call in self.calls if call == name]

    def names(self) -> list[str]:
        """The calls in order."""
        return [name for _, name in self.calls]


class Harness:
    """One supervisor at work."""

    def __init__(self, connection: Scripted, **settings: Any) -> None:
        self.connection = connection
        self.settings = GlobalSettings(**({"reconnect_jitter": 0.0} | settings))
        self.log = EventLog()
        self.supervisor = Supervisor(
            connection, self.settings, host="h", limiter=DialLimiter(self.settings), events=self.log
        )
        self.task = asyncio.create_task(self.supervisor.run(), name="owner")

    @property
    def status(self) -> ConnectionStatus:
        return self.supervisor.record.status

    def has(self, status: ConnectionStatus) -> bool:
        """Whether that is the status now. A method, because mypy takes a property for constant between two asserts."""
        return self.status is status

    @property
    def events(self) -> list[str]:
        """Names of all events so far, in order."""
        return [event.event for event in self.log.after(0)]

    @property
    def transitions(self) -> list[str]:
        """The events that are transitions."""
        return [event for event in self.events if event != HEALTH_CHECK_FAILED]

    async def until(self, status: ConnectionStatus, within: float = 10_000) -> None:
        """Let virtual time pass until that status is reached."""
        async with asyncio.timeout(within):
            while self.status is not status:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def supervised(connection: Scripted | None = None, **settings: Any) -> AsyncIterator[Harness]:
    """Run a supervisor over a scripted connection; stopped at the end."""
    harness = Harness(connection or Scripted(), **settings)
    try:
        yield harness
    finally:
        harness.supervisor.stop()
        await asyncio.wait([harness.task], timeout=60)
        await harness.log.close()
    assert harness.supervisor.crashes == 0


def virtually(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make an `async` test run on a loop whose clock jumps."""

    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test())

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run
