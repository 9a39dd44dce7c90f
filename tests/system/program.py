"""The installed program as a process of its own, and a device that it can be pointed at."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connmgr.cli.client import Client, NoDaemon, Refused

PATIENCE = 25.0  # seconds for what takes one on an idle machine
PROGRAM = (sys.executable, "-m", "connmgr")
QUICK: dict[str, Any] = {
    "health_check_interval": 0.2,
    "health_check_timeout": 2,
    "connection_timeout": 5,
    "reconnect_delay_initial": 0.2,
    "reconnect_delay_max": 0.5,
    "stable_after": 0.1,
}


def environment(**more: str) -> dict[str, str]:
    """The test's own, without what would change how the program looks or where it is found."""
    hidden = (
        "CONNMGR_",
        "XDG_",
        "NOTIFY_SOCKET",
        "WATCHDOG_",
        "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY",
        "JOURNAL_STREAM",
    )
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | more


def connmgr(*arguments: object, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env=environment(COLUMNS="160", **environ),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Wait for something to be true, and return it."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {patience:g} s: {what}")


class Daemon:
    """`connmgr run` in a folder of its own; everything it prints is in `log`."""

    def __init__(
        self,
        folder: Path,
        connections: Mapping[str, Any],
        *arguments: object,
        settings: Mapping[str, Any] = QUICK,
        stderr: int | None = None,
        **environ: str,
    ) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.config = folder / "connections.json"
        self.configure(connections, settings)
        self.arguments = [str(argument) for argument in arguments]
        self.environ = environ
        self._stderr = stderr
        self._file = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, connections: Mapping[str, Any], settings: Mapping[str, Any] = QUICK) -> None:
        """Write the configuration."""
        self.config.write_text(json.dumps({"settings": settings, "connections": connections}))

    def start(self) -> None:
        """Start it; does not wait."""
        command = [*PROGRAM, "run", "-c", str(self.config), "--socket", str(self.socket)]
        command += ["--state-dir", str(self.folder / "state"), *self.arguments]
        with self._file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=environment(**self.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log if self._stderr is None else self._stderr,
            )

    @property
    def log(self) -> str:
        return self._file.read_text(errors="replace")

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def get(self, path: str, **query: str | float) -> Any:
        return Client(self.socket, 30).get(path, **query)

    def post(self, path: str, **query: str | float) -> Any:
        return Client(self.socket, 30).post(path, **query)

    def is_ready(self) -> bool:
        assert self.running.poll() is None, f"it has ended: {self.log}"
        try:
            return bool(self.get("/readyz")["ready"])
        except (NoDaemon, Refused):
            return False

    def status(self, name: str) -> str:
        return str(self.get("/api/v1/connections")["connections"][name]["status"])

    def wait_for(self, name: str, status: str) -> None:
        until(lambda: self.status(name) == status, f"{name} is {status}; the log says {self.log}")

    def send(self, number: signal.Signals) -> None:
        self.running.send_signal(number)

    def ended(self, patience: float = PATIENCE) -> int:
        """Its exit code, once it has ended."""
        return self.running.wait(patience)

    def stop(self, number: signal.Signals = signal.SIGTERM, patience: float = PATIENCE) -> int:
        self.send(number)
        return self.ended(patience)


@contextmanager
def running(folder: Path, connections: Mapping[str, Any], *arguments: object, **options: Any) -> Iterator[Daemon]:
    """A daemon that is ready, and gone at the end."""
    daemon = Daemon(folder, connections, *arguments, **options)
    daemon.start()
    try:
        until(daemon.is_ready, "the daemon is ready")
        yield daemon
    finally:
        if daemon.running.poll() is None:
            daemon.running.kill()
            daemon.running.wait()


class Device(socketserver.ThreadingTCPServer):
    """Answers each line with PONG. `peers` are the clients so far, `open` those that are there."""

    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.peers: list[Any] = []
        self.open: dict[Any, Any] = {}

    @property
    def connection(self) -> dict[str, Any]:
        """An entry of "connections" that leads here."""
        config = {"host": "127.0.0.1", "port": self.server_address[1], "timeout": 2.0}
        return {"type": "tcp", "config": config | {"health_check": {"send": "PING\n", "expect": "PONG"}}}


class _Session(socketserver.StreamRequestHandler):
    server: Device

    def handle(self) -> None:
        self.server.peers.append(self.client_address)
        self.server.open[self.client_address] = self.connection
        try:
            while self.rfile.readline():
                self.wfile.write(b"PONG\n")
        except OSError:
            pass
        finally:
            self.server.open.pop(self.client_address, None)


@contextmanager
def device() -> Iterator[Device]:
    """A device that is on."""
    with Device() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            for connection in list(server.open.values()):
                connection.close()
            thread.join()


def plugin(folder: Path, name: str, body: str) -> Path:
    """A plugin folder with one file in it; `body` are the methods that differ from a connection that just works."""
    folder.mkdir(exist_ok=True)
    methods = {
        "connect": "    async def connect(self):\n        return True\n",
        "disconnect": "    async def disconnect(self):\n        return True\n",
        "health_check": "    async def health_check(self):\n        return True\n",
        "is_connected": "    def is_connected(self):\n        return True\n",
    }
    rest = "".join(text for method, text in methods.items() if f"def {method}(" not in body)
    head = "import asyncio, os, sys, threading, time\nfrom connmgr import *\nclass Odd(BaseConnection):\n"
    (folder / f"{name}.py").write_text(head + body + rest)
    return folder
