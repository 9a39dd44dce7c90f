"""The daemon: puts the parts together, starts and stops them in order, listens to signals and to systemd."""

import asyncio
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from connmgr import __version__
from connmgr.api.control import Control
from connmgr.api.server import ApiServer, SocketUnavailableError
from connmgr.config import Config, ConfigProblems, Diff
from connmgr.context import Paths
from connmgr.errors import ConnmgrError, RegistrationError, describe
from connmgr.garbage import collect_seldom
from connmgr.logs import LogHandle, configure, get_logger
from connmgr.manager import ConnectionManager
from connmgr.secrets import redactor
from connmgr.states import ConnectionStatus
from connmgr.systemd import Notifier, watchdog_interval

EXIT_OK, EXIT_BUG, EXIT_CANNOT_CREATE, EXIT_CONFIG = 0, 70, 73, 78  # sysexits.h
BEAT = 1.0  # seconds between two looks at ourselves
LATE = 1.0  # seconds by which a look has to be late to be worth a line in the log,
LATE_AGAIN = 60.0  # and seconds until the next such line
WORKERS = 64  # threads, made when needed: look-ups of names, opening of serial ports
LAST_WORDS = 2.0  # seconds for tasks and threads that are still there at the end

T = TypeVar("T")

log = get_logger("connmgr.daemon")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `connmgr run` was asked for."""

    config: Path
    socket: Path
    state_dir: Path
    plugins: tuple[Path, ...] = ()
    log_format: str | None = None
    log_level: str = "INFO"


def run(options: RunOptions) -> int:
    """Run the daemon until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 after a clean stop, 78 for a bad configuration, 73 when the socket or the state directory
        cannot be had, 70 for a bug in connmgr.
    """
    handle = configure(options.log_format, options.log_level, redactor.scrub)  # type: ignore[arg-type]  # checked there
    collect_seldom()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(_to_the_end(Daemon(options, handle).run(), handle))
    handle.close()
    return code


class Daemon:
    """One run of the daemon."""

    def __init__(self, options: RunOptions, log_handle: LogHandle) -> None:
        self._options = options
        self._log_handle = log_handle
        self._notifier = Notifier()
        self._watchdog = watchdog_interval()
        self._manager = ConnectionManager(
            node=socket.gethostname(), paths=Paths(config_file=options.config, state_dir=options.state_dir)
        )
        self._control = Control(self._manager, self.reload, figures=self.figures)
        self._stop = asyncio.Event()
        self._reloads: asyncio.Queue[None] = asyncio.Queue(1)
        self._lag = 0.0
        self._reloading = asyncio.Lock()  # else a file that was read earlier could be gone by later

    async def run(self) -> int:
        """Start, serve, stop; returns the exit code."""
        self._listen_to_signals()
        try:
            self._make_state_dir()
            config = await self._first_config()
            if config is None:
                return EXIT_OK
            async with ApiServer(self._control, self._options.socket):
                return await self._serve(config)
        except (ConfigProblems, RegistrationError) as error:
            self._refuse(str(error))
            return EXIT_CONFIG
        except SocketUnavailableError as error:
            self._refuse(str(error))
            return EXIT_CANNOT_CREATE

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._ask_to_reload)

    async def _first_config(self) -> Config | None:
        """The configuration; None when we are asked to stop before a slow plugin is imported."""
        return await self._unless_stopped(asyncio.to_thread(self._read), "connmgr.read")

    async def _unless_stopped(self, work: Coroutine[Any, Any, T], name: str) -> T | None:
        """What `work` comes to; None when we are asked to stop first: plugins may be slow to import or to construct."""
        working = asyncio.create_task(work, name=name)
        stopping = asyncio.create_task(self._stop.wait(), name="connmgr.stop")
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if working.done():
            return await working
        working.cancel()
        return None

    async def _serve(self, config: Config) -> int:
        tasks = [
            asyncio.create_task(self._beat(), name="connmgr.beat"),
            asyncio.create_task(self._reload_on_signal(), name="connmgr.reload"),
        ]
        try:
            if await self._unless_stopped(self._manager.apply(config), "connmgr.start") is None:
                return EXIT_OK
            self._warn_about(config)
            self._warn_about_plugins()
            self._control.ready = True
            self._notifier.ready()
            log.info("connmgr is running", version=__version__, connections=len(config.connections))
            await self._stop.wait()
        finally:
            self._notifier.stopping()
            log.info("connmgr is stopping")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            late = await self._manager.stop()
            log.info("connmgr has stopped", left_behind=late)
        return EXIT_OK

    async def reload(self, dry_run: bool = False) -> Diff:
        """Read the configuration again and go by it; an invalid one changes nothing.

        Raises:
            ConfigProblems: everything that is wrong with it.
            ConnmgrError: we are about to stop.
        """
        if dry_run:
            return self._manager.changes(await asyncio.to_thread(self._manager.read, self._options.config))
        async with self._reloading:
            self._notifier.reloading()
            try:
                config = await asyncio.to_thread(self._manager.read, self._options.config)
                if self._stop.is_set():
                    raise ConnmgrError("cannot reload: connmgr is stopping")
                changes = await self._manager.apply(config)
            except ConfigProblems as error:
                log.warning("the new configuration is invalid; nothing changed", problems=str(error))
                raise
            finally:
                self._notifier.ready()
        log.info(
            "configuration reloaded",
            added=changes.added,
            removed=changes.removed,
            changed=changes.changed,
            untouched=len(changes.unchanged),
        )
        self._warn_about(config)
        return changes

    def figures(self) -> dict[str, Any]:
        """The daemon in figures."""
        counts = self._counts()
        return {
            "node": self._manager.node,
            "version": __version__,
            "pid": os.getpid(),
            "started_at": self._manager.started_at,
            "boot_id": self._manager.events.boot_id,
            "ready": self._control.ready,
            "config": str(self._options.config),
            "connections": {status.value: counts[status.value] for status in ConnectionStatus},
            "events": dict(self._manager.events.figures()),
            "dials": self._manager.dials,
            "plugin_failures": {name: redactor.scrub(why) for name, why in self._manager.registry.failures.items()},
            "loop_lag": self._lag,
            "log_lines_dropped": self._log_handle.dropped,
        }

    def _counts(self) -> Counter[str]:
        return Counter(connection.status.value for connection in self._manager.connections.values())

    def _make_state_dir(self) -> None:
        try:
            self._options.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(self._options.state_dir, os.W_OK | os.X_OK):
                raise PermissionError("permission denied")
        except OSError as error:
            raise SocketUnavailableError(
                f"cannot use the state directory {self._options.state_dir}: {error.strerror or error};"
                " make it writable for this user, or choose another --state-dir"
            ) from error

    def _read(self) -> Config:
        for folder in self._options.plugins:
            self._manager.add_plugin_folder(folder)
        return self._manager.read(self._options.config)

    @staticmethod
    def _warn_about(config: Config) -> None:
        for problem in config.warnings:
            log.warning(str(problem))

    def _warn_about_plugins(self) -> None:
        for name, why in self._manager.registry.failures.items():
            log.warning("a connection type cannot be used", type=name, reason=redactor.scrub(why))

    @staticmethod
    def _refuse(reason: str) -> None:
        for line in reason.splitlines():
            log.error(line)

    def _ask_to_stop(self) -> None:
        if self._stop.is_set():
            log.warning("asked to stop a second time; leaving everything as it is")
            self._log_handle.close()
            os._exit(1)
        self._stop.set()

    def _ask_to_reload(self) -> None:
        if self._reloads.empty():
            self._reloads.put_nowait(None)

    async def _reload_on_signal(self) -> None:
        while True:
            await self._reloads.get()
            try:
                await self.reload()
            except ConfigProblems:
                continue  # logged already, and nothing changed
            except ConnmgrError as error:
                log.warning("cannot reload", reason=describe(error))
            except Exception:  # else this task ends, and no later signal is heard
                log.exception("cannot reload: a bug in connmgr, please report it")

    async def _beat(self) -> None:
        """Once a second: how late are we, what does systemd have to know.

        The watchdog's ping is earned: it is sent from the event loop, on time, and only while every owner is at work.
        """
        loop = asyncio.get_running_loop()
        late_at, told, known_dead = -1e9, "", list[str]()
        while True:
            due = loop.time() + min(BEAT, (self._watchdog or BEAT) / 2)
            await asyncio.sleep(due - loop.time())
            self._lag = max(loop.time() - due, 0.0)
            if self._lag >= LATE and loop.time() - late_at >= LATE_AGAIN:
                late_at = loop.time()
                log.warning(
                    "everything stood still; does a plugin block in an async method?", seconds=round(self._lag, 1)
                )
            dead = self._manager.dead_owners()
            if dead != known_dead:
                log.critical("owners have ended by a bug; restart connmgr and report it", connections=dead)
                known_dead = dead
            if not dead and self._watchdog is not None:
                self._notifier.watchdog()
            counts = self._counts()
            text = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no connections"
            if text != told:
                self._notifier.status(text)
                told = text


async def _to_the_end(main: Coroutine[Any, Any, int], handle: LogHandle) -> int:
    """Await `main`, then end even if some task or thread of a plugin refuses to: Python would wait for it for ever."""
    # asyncio's own has 6 threads on 2 cores: as many names that resolve slowly would hold up every other connection.
    executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="connmgr.work")
    asyncio.get_running_loop().set_default_executor(executor)
    try:
        code = await main
    except Exception:
        log.exception("a bug in connmgr, please report it")
        code = EXIT_BUG
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=LAST_WORDS)
    executor.shutdown(wait=False, cancel_futures=True)
    threads = await _threads_left(LAST_WORDS)
    if tasks or threads:
        names = sorted(task.get_name() for task in tasks)
        log.warning("tasks or threads refuse to end and are left behind", tasks=names, threads=threads)
        handle.close()
        os._exit(code)
    return code


async def _threads_left(patience: float) -> list[str]:
    """Names of the threads that would keep the process from ending, after giving them `patience` seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while True:
        here = threading.current_thread()
        names = [thread.name for thread in threading.enumerate() if thread is not here and not thread.daemon]
        if not names or loop.time() >= until:
            return names
        await asyncio.sleep(0.01)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed: 1.6 times the timers and 3.5 times the socket traffic per second."""
    if os.environ.get("CONNMGR_LOOP") == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
