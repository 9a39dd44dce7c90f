"""Real supervisors under a real manager in virtual time, with devices and plugins that do whatever a test says."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from connmgr import BaseConnection
from connmgr.commands import Command
from connmgr.config import Config, ConnectionConfig, Diff
from connmgr.dialing import DialLimiter
from connmgr.errors import describe
from connmgr.events import Event, EventLog
from connmgr.manager import ConnectionManager
from connmgr.settings import GlobalSettings, SupervisionSettings
from connmgr.testing import VirtualTimeLoop
from tests.unit.behaviours import GOOD, Behaviour
from tests.unit.monitor import Monitor
from tests.unit.supervision_model import Track

T = TypeVar("T")
YES = GOOD["yes"]


class Device:
    """What the plugin meets when it calls, by method; outlives the connection object."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = dict.fromkeys(("connect", "health_check", "disconnect"), YES)
        self.then: dict[str, list[Behaviour]] = {}  # what comes before that, call by call

    def next(self, method: str) -> Behaviour:
        """What the next call of that method meets."""
        before = self.then.get(method)
        return before.pop(0) if before else self.behaviours[method]


class Probe(BaseConnection):
    """A plugin that does what its device says and tells the monitor."""

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:
        super().__init__(connection_id, config, app_context)
        self.world: World = app_context.manager.world
        self.name = connection_id
        self.host = config["host"]
        self.device = self.world.devices.setdefault(connection_id, Device())
        self.settings = config["settings"]
        self.track = Track()
        self.sessions: list[contextvars.Context] = []
        self.world.probes.append(self)

    async def _play(self, method: str) -> Any:
        monitor = self.world.monitor
        played = monitor.started(self, method)
        try:
            result = await self.device.next(method)(self)
        except BaseException as error:
            monitor.ended(self, played, None, error)
            raise
        monitor.ended(self, played, result, None)
        return result

    async def connect(self) -> bool:
        self.sessions.append(contextvars.copy_context())
        del self.sessions[:-3]
        return await self._play("connect")  # type: ignore[no-any-return]

    async def disconnect(self) -> bool:
        return await self._play("disconnect")  # type: ignore[no-any-return]

    async def health_check(self) -> bool:
        return await self._play("health_check")  # type: ignore[no-any-return]

    def is_connected(self) -> bool:
        self.world.monitor.require(condition=False, number=6, what=f"is_connected() of {self.name} was asked")
        raise SystemExit

    def connection_lost(self, reason: Any) -> None:
        """As ever, and the monitor knows which session it hit."""
        link = self._BaseConnection__link  # type: ignore[attr-defined]
        if link.is_open and link.calling_session() == link.session:
            self.world.monitor.models[self.name].fault = True
        super().connection_lost(reason)

    def update_stats(self, **counts: int) -> None:
        """As ever; traffic outside of the health check moves its schedule."""
        if self.track.running is None:
            self.track.disturbed = True
        super().update_stats(**counts)


class WatchedLog(EventLog):
    """Shows every event to the monitor."""

    monitor: Monitor

    def publish(self, *args: Any, **fields: Any) -> Event:
        event = super().publish(*args, **fields)
        self.monitor.event(event)
        return event


class WatchedManager(ConnectionManager):
    """Tells the monitor when owners come, go, and get other settings."""

    world: "World"

    async def _stop_entries(self, connection_ids: Iterable[str]) -> list[str]:
        self.world.monitor.limit(self.world.limits)
        wanted = list(connection_ids)
        for name in wanted:
            self.world.monitor.stopping(name)
        return await super()._stop_entries(wanted)

    def _use(self, config: Config, made: Mapping[str, BaseConnection[Any]], limiter: DialLimiter) -> None:
        monitor, before = self.world.monitor, dict(self._entries)
        for name, wanted in config.connections.items():
            if name not in made and before[name].supervisor and before[name].config.settings != wanted.settings:
                monitor.uses(name, wanted.settings)
        super()._use(config, made, limiter)
        for name, entry in self._entries.items():
            if entry.supervisor is not None and (name not in before or before[name] is not entry):
                monitor.opened(name, entry.supervisor)


def _in_words(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context['message']}: {type(error).__name__}: {describe(error) if error is not None else ''}"


class _Inline(ThreadPoolExecutor):
    """Does at once what is given to a thread, so that a run can be repeated step by step."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class World:
    """One manager, its loop, its devices."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self.loop = self.runner.get_loop()
        self.loop.set_default_executor(_Inline())
        self.escaped: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.escaped.append(_in_words(context)))
        self.devices: dict[str, Device] = {}
        self.probes: list[Probe] = []
        self.wanted: dict[str, ConnectionConfig] = {}
        self.limits = GlobalSettings()
        self.monitor = Monitor(self)
        self.let_go = asyncio.Event()
        self.background: set[asyncio.Task[Any]] = set()
        self.manager = WatchedManager()
        self.manager.world = self
        log = WatchedLog()
        log.monitor = self.monitor
        self.manager.events = log
        self.manager.registry._scanned = True  # nothing installed matters here, and looking for it takes long
        self.manager.register_connection_type("probe", Probe)

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.loop.time()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """Let it happen, with as much virtual time as it takes."""
        return self.loop.run_until_complete(what)

    def pass_time(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def start(self, what: Coroutine[Any, Any, Any]) -> None:
        """Let it happen beside what comes next."""
        task = self.loop.create_task(what)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    # --- configuration

    def want(
        self, name: str, settings: SupervisionSettings, *, host: str = "h", enabled: bool = True, n: int = 0
    ) -> None:
        """Put a connection into the configuration to come; another `n` makes it another one."""
        self.wanted[name] = ConnectionConfig(
            id=name,
            type="probe",
            name=name,
            enabled=enabled,
            config={"host": host, "settings": settings},
            settings=settings,
            raw_config={"host": host},
            fingerprint=f"{host}{n}",
        )

    def apply(self) -> Coroutine[Any, Any, Diff]:
        """Go by the wanted configuration."""
        return self.manager.apply(Config(path=Path("x"), settings=self.limits, connections=dict(self.wanted)))

    # --- what people do

    def owned(self) -> list[str]:
        """Connections that have an owner at work."""
        return [
            name for name, entry in self.manager._entries.items() if entry.task is not None and not entry.task.done()
        ]

    def probe(self, name: str) -> Probe:
        found = self.manager._entries[name].connection
        assert isinstance(found, Probe)
        return found

    def command(self, name: str, command: Command) -> None:
        """Ask the owner, as `post` does, but now."""
        supervisor = self.manager._entries[name].supervisor
        assert supervisor is not None
        self.monitor.command(name, command, self.probe(name).track.running)
        supervisor.command(command)

    def cancel_owner(self, name: str) -> None:
        """Cancel the owner's task, as a loop that is being torn down does."""
        self.monitor.stopping(name)
        task = self.manager._entries[name].task
        assert task is not None
        task.cancel()

    def report_loss(self, name: str, *, session: int, in_thread: bool, reason: object) -> None:
        """Call connection_lost from a context of one of the last three sessions, or (-1) from outside."""
        probe = self.probe(name)
        contexts = probe.sessions
        context = contexts[session % len(contexts)] if session >= 0 and contexts else contextvars.Context()
        if in_thread:
            thread = threading.Thread(target=context.run, args=(probe.connection_lost, reason))
            thread.start()
            thread.join()
        else:
            context.run(probe.connection_lost, reason)

    async def exchange(self, probe: Probe, seconds: float, timeout: float, error: BaseException | None) -> None:
        """One request over the link, as an application makes it."""
        name = probe.name
        link = probe._BaseConnection__link  # type: ignore[attr-defined]
        session = -1
        try:
            async with probe.exchange(timeout):
                session = link.session
                probe.track.disturbed = True
                await asyncio.sleep(seconds)
                if error is not None:
                    raise error
        except Exception:
            current = name in self.manager._entries and self.manager._entries[name].connection is probe
            if current and link.fault is not None and session == link.session:
                self.monitor.models[name].fault = True
        finally:
            probe.track.disturbed = True

    # --- the end

    def close(self) -> list[str]:
        """Stop everything; what is left behind or was broken."""
        self.let_go.set()
        late = self.run(self.manager.stop())
        self.pass_time(20)
        broken = self.monitor.broken
        broken += [f"invariant 19: did not stop in time: {name}" for name in late]
        broken += [f"invariant 2: {probe.name} was never disconnected" for probe in self.probes if probe.track.debt]
        for name, model in self.monitor.models.items():
            if model.status != "disconnected":
                broken.append(f"invariant 19: {name} ended as {model.status}")
        left = [task for task in asyncio.all_tasks(self.loop) if task not in self.background]
        broken += [f"invariant 29: left behind {task}" for task in left]
        timers = [timer for timer in self.loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        broken += [f"invariant 29: left behind {timer}" for timer in timers]
        broken += [f"invariant 8: escaped {context}" for context in self.escaped]
        self.runner.close()
        return broken
