"""A connection on the test bench: a simulated device, a fault proxy before it, and what belongs to one test."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from connmgr.context import AppContext
from connmgr.testing.driver import OBEYS_WITHIN, Connection, ContractViolation, Driver, Ended, Exercise, LeftOut
from connmgr.testing.fault_proxy import FaultProxy
from connmgr.testing.faults import Direction
from connmgr.testing.leftovers import Leftovers
from connmgr.testing.pty_proxy import PtyFaultProxy
from connmgr.testing.simulator import Simulator

T = TypeVar("T")


def put_between(config: Mapping[str, Any]) -> tuple[FaultProxy | PtyFaultProxy, dict[str, Any]]:
    """A proxy (not started yet) before the device that `config` points to, and the config that leads through it.

    Understands `base_url`, `port` as the path of a serial device, and `host` with a numeric `port`.
    """
    through = dict(config)
    if "base_url" in config:
        parts = urlsplit(config["base_url"])
        assert parts.hostname
        proxy = FaultProxy(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        through["base_url"] = urlunsplit(parts._replace(netloc=f"{user}{proxy.host}:{proxy.port}"))
        return proxy, through
    if isinstance(config.get("port"), str):
        line = PtyFaultProxy(config["port"])
        through["port"] = line.path
        return line, through
    proxy = FaultProxy(config.get("host", "127.0.0.1"), config["port"])
    through |= {"host": proxy.host, "port": proxy.port}
    return proxy, through


class _Elsewhere:
    """A thread and a loop for the simulator, so that neither its tasks nor its pauses count as the plugin's."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="contract simulator", daemon=True)
        self._thread.start()

    async def run(self, coro: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coro, self._loop))

    async def close(self) -> None:
        await self.run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=OBEYS_WITHIN)
        for _ in range(3):  # asyncio closes sockets one round after they were told to
            await asyncio.sleep(0)
        await asyncio.get_running_loop().shutdown_default_executor()


class _NoManager:
    """Stands in for the connection manager: there are no other connections."""

    connections: Mapping[str, Connection] = MappingProxyType({})

    def register_connection_type(self, name: str, connection_class: type[Connection]) -> None:
        """Forget it."""

    def get_connection(self, connection_id: str) -> Connection | None:
        """There is none."""

    def on_event(self, event: str, callback: Callable[[Connection], Any]) -> Callable[[], None]:  # noqa: ARG002 - Manager's signature
        """Nothing happens here."""
        return lambda: None


@contextmanager
def _listening(noise: list[str]) -> Iterator[None]:
    """Collect what Python says about resources that were dropped and errors that nobody waited for."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _, context: noise.append(f"{context['message']} ({context.get('exception') or context.get('task')})")
    )
    show = warnings.showwarning

    def hear(message: Any, category: type[Warning], *place: Any) -> None:  # noqa: ANN401 - as in the standard library
        if issubclass(category, ResourceWarning):
            noise.append(f"ResourceWarning: {message}")
        else:
            show(message, category, *place)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ResourceWarning)
        warnings.showwarning = hear  # type: ignore[assignment]  # the same call, spelled with *place
        yield


class Rig:
    """Everything one rule needs. Made by `rig`.

    Attributes:
        proxy: between the connection and the device.
        config: leads through the proxy.
        noise: ResourceWarnings and errors that nobody waited for, as they come up.
    """

    def __init__(self, subject: Subject, proxy: FaultProxy | PtyFaultProxy, config: dict[str, Any]) -> None:
        self.subject = subject
        self.proxy = proxy
        self.config = config
        self.noise: list[str] = []
        self.leftovers: Leftovers | None = None
        self._drivers: list[Driver] = []

    def driver(self, config: Mapping[str, Any] | None = None) -> Driver:
        """A fresh connection object and its driver; the contract allows nothing to happen yet."""
        connection = self.subject.connection_class(
            "contract", dict(self.config if config is None else config), AppContext(manager=_NoManager())
        )
        self._drivers.append(Driver(connection, self.subject.deadline))
        return self._drivers[-1]

    @asynccontextmanager
    async def session(self, driver: Driver | None = None) -> AsyncIterator[Driver]:
        """A connected connection, disconnected afterwards."""
        driver = driver or self.driver()
        ended = await driver.connect()
        if ended.value is not True:
            await driver.disconnect()
            raise ContractViolation(f"connect() to a healthy device {ended}{self._hint()}")
        try:
            yield driver
        finally:
            await driver.disconnect()

    def _hint(self) -> str:
        if not isinstance(self.proxy, FaultProxy) or self.proxy.accepted:
            return ""
        return (
            "; no TCP connection came to the proxy before the device, where the config of this test points: the kit"
            " carries TCP and serial lines, and from a device on anything else (UDP, say) rules have to be excused"
        )

    async def exercise(self, driver: Driver, *, deadline: float | None = None, cancel_at: int | None = None) -> Ended:
        """One exchange as the author's `exercise` does it, or a health check where there is none."""
        return await driver.exercise(self.subject.exercise, deadline=deadline, cancel_at=cancel_at)

    async def warm_up(self) -> None:
        """One whole session, so that imports, caches and thread pools exist before anything is counted."""
        async with self.session() as driver:
            for what, ended in (
                ("the exercise", await self.exercise(driver)),
                ("health_check()", await driver.health_check()),
            ):
                if ended.error is not None:
                    raise ContractViolation(f"{what} with a healthy device {ended}")
        self.take_stock()

    def take_stock(self) -> None:
        """Whatever is there now is not the plugin's fault."""
        gc.collect()
        self.noise.clear()
        port = self.proxy.target[1] if isinstance(self.proxy, FaultProxy) else None
        self.leftovers = Leftovers(lambda: self.proxy.descriptors, port)

    async def nothing_left(self, after: str) -> None:
        """Raise when a task, a thread or an open file has come on top since `take_stock`."""
        assert self.leftovers
        left = await self.leftovers.found()
        gc.collect()  # what was dropped unclosed complains only now
        if left or self.noise:
            raise ContractViolation(f"{after} left behind: {'; '.join([*left, *self.noise])}")

    async def asked(self) -> int:
        """Bytes that the device was sent so far."""
        await asyncio.sleep(0.05)  # they may still be on their way
        return self.proxy.counted[Direction.TO_DEVICE]

    async def requires_exchange(self, driver: Driver) -> None:
        """Raise LeftOut when the exercise does not ask the device anything."""
        before = await self.asked()
        ended = await self.exercise(driver)
        if ended.error is not None:
            raise ContractViolation(f"the exercise on a healthy line {ended}")
        if await self.asked() == before:
            raise LeftOut("neither the exercise nor the health check asks the device anything")

    def close(self) -> None:
        """End the drivers' threads."""
        for driver in self._drivers:
            driver.close()


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tested, with which device and how; see `contract_tests`."""

    connection_class: type[Connection]
    simulator_class: Callable[..., Simulator]
    config: Mapping[str, Any]
    exercise: Exercise
    deadline: float

    @property
    def is_async(self) -> bool:
        """Whether connect() is a coroutine function."""
        return inspect.iscoroutinefunction(self.connection_class.connect)


@asynccontextmanager
async def rig(subject: Subject) -> AsyncIterator[Rig]:
    """A running device with a proxy before it."""
    elsewhere = _Elsewhere()
    try:
        simulator = subject.simulator_class(port=0)
        await elsewhere.run(simulator.start())
        try:
            proxy, config = put_between({**simulator.config, **subject.config})
            async with proxy:
                bench = Rig(subject, proxy, config)
                with _listening(bench.noise):
                    try:
                        yield bench
                    finally:
                        bench.close()
        finally:
            await asyncio.sleep(0.02)  # the device sees its clients go before it is switched off itself
            await elsewhere.run(simulator.stop())
    finally:
        await elsewhere.close()
