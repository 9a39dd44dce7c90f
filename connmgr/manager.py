"""The set of connections: looks them up, starts and stops their owners, reloads by diff, and tells what is going on."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Self

from connmgr.commands import Command
from connmgr.config import Config, ConnectionConfig, Diff, TypeInfo, diff, load
from connmgr.connection import BaseConnection, link_of
from connmgr.construct import construct
from connmgr.context import AppContext, Paths
from connmgr.dialing import DialLimiter, host_of
from connmgr.errors import ConnmgrError, RegistrationError, describe
from connmgr.events import EventLog
from connmgr.logs import get_logger
from connmgr.registry import ConnectionClass, Registry
from connmgr.secrets import redactor
from connmgr.settings import GlobalSettings
from connmgr.states import ConnectionStatus
from connmgr.supervisor import Supervisor

LONGEST_COMMAND = 30.0  # seconds a command is waited for; what it asked for still happens later
STOP_MARGIN = 3.0  # seconds an owner has to stop, above its connection's disconnect_timeout

log = get_logger("connmgr.manager")


class NoSuchConnectionError(ConnmgrError):
    """The configuration has no connection of that id."""


class _Entry:
    """One configured connection with its owner; a disabled one has no owner."""

    __slots__ = ("config", "connection", "is_leaving", "supervisor", "task")

    def __init__(self, config: ConnectionConfig, connection: BaseConnection[Any]) -> None:
        self.config = config
        self.connection = connection
        self.supervisor: Supervisor | None = None
        self.task: asyncio.Task[None] | None = None
        self.is_leaving = False  # its owner has been told to end


def _status_of(connection: BaseConnection[Any]) -> dict[str, Any]:
    """`get_status()`, also of a plugin that has assigned nonsense: one of them must not hide the status of all."""
    try:
        found: dict[str, Any] = dict(BaseConnection.get_status(connection))
    except Exception as error:  # noqa: BLE001 - `stats` and `status` are the plugin's to spoil
        link = link_of(connection)
        found = {
            "connection_id": link.name,
            "type": type(connection).__name__,
            "status": (link.status or ConnectionStatus.DISCONNECTED).value,
            "connected_at": link.connected_at,
            "last_error": f"its status cannot be told: {describe(error)}",
            "reconnect_attempts": link.attempts,
            "stats": None,
        }
    reason = found["last_error"]
    if reason is not None:
        text = describe(reason) if isinstance(reason, BaseException) else reason if isinstance(reason, str) else "?"
        found["last_error"] = redactor.scrub(str(text))[:500]
    return found


class ConnectionManager:
    """Keeps a set of connections alive.

    An embedding program writes:

        async with ConnectionManager() as manager:
            manager.register_connection_type("scale", ScaleConnection)
            await manager.load("connections.json")
    """

    def __init__(self, *, node: str = "connmgr", paths: Paths | None = None) -> None:
        self.node = node
        self.events = EventLog()
        self.registry = Registry()
        self.app_context = AppContext(manager=self, paths=paths or Paths())
        self.config: Config | None = None
        self.started_at = time.time()
        self._entries: dict[str, _Entry] = {}
        self._view: dict[str, BaseConnection[Any]] = {}
        self._limiter: DialLimiter | None = None
        self._applying = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # --- types

    def register_connection_type(self, name: str, connection_class: ConnectionClass) -> None:
        """Make a class usable as `"type"` in connections.json.

        Raises:
            RegistrationError: the name is taken, or the class does not keep the contract's form.
        """
        self.registry.register(name, connection_class)

    def add_plugin_folder(self, folder: str | Path) -> None:
        """Load the `.py` files of a folder; see `Registry.add_folder`."""

        def initialize(module: ModuleType) -> None:
            module.initialize(self.app_context)

        self.registry.add_folder(Path(folder), initialize)

    def type_info(self, name: str) -> TypeInfo | None:
        """What the configuration has to know of a type; None when there is no such type."""
        try:
            found = self.registry.get(name)
        except RegistrationError as error:
            return TypeInfo(None, unavailable=str(error))
        return TypeInfo(found.options_model) if found is not None else None

    # --- looking things up

    @property
    def connections(self) -> Mapping[str, BaseConnection[Any]]:
        """Every configured connection by id, in the order of the file."""
        return MappingProxyType(self._view)

    def get_connection(self, connection_id: str) -> BaseConnection[Any] | None:
        """The connection of that id, or None."""
        return self._view.get(connection_id)

    def on_event(self, event: str, callback: Callable[[BaseConnection[Any]], Any]) -> Callable[[], None]:
        """Call back with the connection on every event of that name ("*" for all).

        Args:
            event: `connected`, `disconnected`, `error`, `health_check_failed`, `suspended`, `resumed`, `connecting`.
            callback: an `async` function is called in the event loop, a plain one in a thread of its own.

        Returns:
            A function that ends it.
        """
        return self.events.subscribe(event, callback)

    # --- configuration

    def read(self, path: str | Path, *, strict: bool = False) -> Config:
        """Read and check a configuration; touches no network. May import plugins: not for the event loop's thread.

        Args:
            strict: a type that cannot be imported is an error too, not a suspended connection.

        Raises:
            ConfigProblems: everything that is wrong with it.
        """
        return load(Path(path), self.type_info, self.registry.names, strict=strict)

    async def load(self, path: str | Path) -> Diff:
        """Read a configuration and go by it; what is invalid changes nothing.

        Raises:
            ConfigProblems: everything that is wrong with it.
        """
        return await self.apply(await asyncio.to_thread(self.read, path))

    async def apply(self, config: Config) -> Diff:
        """Go by this configuration: what did not change keeps its socket and its counters."""
        async with self._applying:
            changes = self.changes(config)
            if self._limiter is None:
                self._loop = asyncio.get_running_loop()
                self._limiter = DialLimiter(config.settings)
            else:
                self._limiter.configure(config.settings)
            going = [*changes.removed, *changes.changed]
            fresh = [config.connections[name] for name in (*changes.added, *changes.changed)]
            try:
                await self._stop_entries(going)
                made = await asyncio.to_thread(construct, fresh, self.registry, self.app_context)
            except BaseException:  # cancelled, say
                self._forget(going)
                raise
            self.config = config
            self._use(config, made, self._limiter)
            return changes

    def changes(self, config: Config) -> Diff:
        """What `apply` would do."""
        old = self.config or Config(path=config.path, settings=GlobalSettings(), connections={})
        return diff(old, config)

    def _use(self, config: Config, made: Mapping[str, BaseConnection[Any]], limiter: DialLimiter) -> None:
        entries: dict[str, _Entry] = {}
        for connection_id, wanted in config.connections.items():
            if connection_id in made:
                entry = self._own(_Entry(wanted, made[connection_id]), limiter)
            else:
                entry = self._entries[connection_id]
                if entry.supervisor is not None and entry.config.settings != wanted.settings:
                    entry.supervisor.use(wanted.settings)
            entry.config = wanted
            entries[connection_id] = entry
        self._entries = entries
        self._view = {connection_id: entry.connection for connection_id, entry in entries.items()}

    def _forget(self, connection_ids: Iterable[str]) -> None:
        """These have been told to end, and nothing has taken their place: the next `apply` is to bring them back."""
        for connection_id in connection_ids:
            del self._entries[connection_id]
        self._view = {connection_id: entry.connection for connection_id, entry in self._entries.items()}
        if self.config is not None:
            left = {connection_id: entry.config for connection_id, entry in self._entries.items()}
            self.config = replace(self.config, connections=left)

    def _own(self, entry: _Entry, limiter: DialLimiter) -> _Entry:
        """Give an enabled connection its owner."""
        wanted = entry.config
        if wanted.enabled:
            entry.supervisor = Supervisor(
                entry.connection,
                wanted.settings,
                host=host_of(wanted.id, wanted.config),
                limiter=limiter,
                events=self.events,
                scrub=redactor.scrub,
            )
            entry.task = asyncio.create_task(entry.supervisor.run(), name=f"connmgr[{wanted.id}].owner")
        return entry

    # --- commands

    def post(self, connection_id: str, command: Command | str) -> None:
        """Ask an owner for something, from any thread and without waiting.

        Raises:
            NoSuchConnectionError: there is none of that id.
            ConnmgrError: it is disabled, or there is no such command.
        """
        supervisor = self._supervisor(connection_id)
        wanted = Command(command)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(supervisor.command, wanted)

    async def command(self, connection_id: str, command: Command | str, timeout: float | None = None) -> dict[str, Any]:
        """Ask an owner for something and wait until it has acted (not until the device answers).

        Args:
            timeout: seconds to wait; None for as long as a disconnect may take, 30 at most.

        Returns:
            The connection as in `snapshot()`, as it is then: after the timeout it may still be on its way.

        Raises:
            NoSuchConnectionError, ConnmgrError: as for `post`.
        """
        supervisor = self._supervisor(connection_id)
        wanted = Command(command)
        log.info("command", connection=connection_id, command=wanted.value)
        supervisor.command(wanted)
        resting = {Command.DISCONNECT: ConnectionStatus.DISCONNECTED, Command.SUSPEND: ConnectionStatus.SUSPENDED}
        if timeout is None:
            timeout = min(supervisor.settings.disconnect_timeout + STOP_MARGIN, LONGEST_COMMAND)
        until = asyncio.get_running_loop().time() + timeout
        while wanted in resting and supervisor.record.status is not resting[wanted]:
            await self.events.wait(self.events.seq, min(until - asyncio.get_running_loop().time(), 1.0))
            if asyncio.get_running_loop().time() >= until:
                break
        await asyncio.sleep(0)
        return self.describe(connection_id)

    def _supervisor(self, connection_id: str) -> Supervisor:
        entry = self._entry(connection_id)
        if entry.supervisor is None:
            raise ConnmgrError(f'cannot command {connection_id}: it is disabled; set "enabled": true and reload')
        return entry.supervisor

    def _entry(self, connection_id: str) -> _Entry:
        try:
            return self._entries[connection_id]
        except KeyError:
            raise NoSuchConnectionError(f"there is no connection {connection_id!r}") from None

    # --- what is going on

    def snapshot(self) -> dict[str, Any]:
        """Every connection as `describe()` gives it, by id."""
        return {"node": self.node, "connections": {name: self.describe(name) for name in self._entries}}

    def describe(self, connection_id: str) -> dict[str, Any]:
        """One connection: `get_status()` and what the daemon knows besides. Times are Unix seconds.

        Raises:
            NoSuchConnectionError: there is none of that id.
        """
        entry = self._entry(connection_id)
        supervisor = entry.supervisor
        found = _status_of(entry.connection)
        found |= {
            "name": entry.config.name,
            "enabled": entry.config.enabled,
            "connection_type": entry.config.type,
            "next_attempt_at": None,
            "since": self.started_at,
            "quality": None,
            "suspended_because": None,
            "stuck": None,
            "bugs": 0,
        }
        if supervisor is not None:
            loop_time = asyncio.get_running_loop().time()
            pause = supervisor.next_attempt_in()
            suspended = supervisor.record.status is ConnectionStatus.SUSPENDED
            found |= {
                "next_attempt_at": time.time() + pause if pause is not None else None,
                "since": supervisor.record.since,
                "quality": asdict(supervisor.record.quality.report(loop_time, supervisor.link.traffic_at)),
                "suspended_because": supervisor.why_suspended if suspended else None,
                "stuck": supervisor.stuck.method if supervisor.stuck is not None else None,
                "bugs": supervisor.record.bugs,
            }
        return found

    @property
    def dials(self) -> int:
        """Attempts to connect since the start."""
        return self._limiter.dials if self._limiter is not None else 0

    def dead_owners(self) -> list[str]:
        """Ids of connections whose owner has ended though nobody asked it to: a bug. Empty when all is well."""
        entries = self._entries.items()
        return [name for name, entry in entries if entry.task and entry.task.done() and not entry.is_leaving]

    def explain(self, connection_id: str, most: int = 20) -> dict[str, Any]:
        """One connection with its newest events and, in one sentence, what happens next."""
        found = self.describe(connection_id)
        supervisor = self._entries[connection_id].supervisor
        found["events"] = [event.as_json() for event in self.events.of(connection_id, most)]
        found["outlook"] = (
            redactor.scrub(supervisor.outlook()) if supervisor is not None else "it is disabled in connections.json"
        )
        return found

    # --- the end

    async def stop(self) -> list[str]:
        """Disconnect everything, the last of the file first, within a bound.

        Returns:
            The ids of connections that did not stop in time; they were left behind.
        """
        async with self._applying:
            late = await self._stop_entries(reversed(self._entries))
            self._entries, self._view, self.config = {}, {}, None
        await self.events.close()
        return late

    async def _stop_entries(self, connection_ids: Iterable[str]) -> list[str]:
        """Tell the owners to stop, in this order; they disconnect side by side, each within its own deadline."""
        stopping: dict[asyncio.Task[None], _Entry] = {}
        for connection_id in connection_ids:
            entry = self._entries.get(connection_id)
            if entry is not None and entry.supervisor is not None and entry.task is not None:
                entry.supervisor.stop()
                entry.is_leaving = True
                stopping[entry.task] = entry
        if not stopping:
            return []
        bound = max(entry.config.settings.disconnect_timeout for entry in stopping.values()) + STOP_MARGIN
        _, pending = await asyncio.wait(stopping, timeout=bound)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=1.0)
        late = [
            entry.config.id
            for task, entry in stopping.items()
            if task in pending or (entry.supervisor is not None and entry.supervisor.stuck is not None)
        ]
        if late:
            log.warning("some connections did not stop in time and were left behind", connections=late)
        return late
