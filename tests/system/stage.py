"""A scratch copy of this repository in which the documents' commands are run as they stand there.

What is different from a reader's machine:

- The ports of the simulated devices are free ones, in the copy and in the commands.
- `.venv` is made of links to the environment of the tests; `pip install` installs into a folder, without dependencies
  and without a network. (`make test` has built the real ones.)
- Programs that run until Ctrl-C are started in the background and ended afterwards; the demo is short.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.documents import ROOT, Block

PATIENCE = 40.0  # seconds for one command
COPIED = (
    ".ci",
    "config",
    "connmgr",
    "constraints-dev.txt",
    "constraints.txt",
    "examples",
    "LICENSE",
    "Makefile",
    "plugins",
    "pyproject.toml",
    "README.md",
    "systemd",
)
PORTS = {"s7": "1102", "modbus": "1502", "tcp": "5000", "http": "8080", "serial": "/tmp/connmgr-serial"}
"""Where the documents' devices are."""

UNTIL_STOPPED = re.compile(r"connmgr (run|simulate)\b|--follow|--watch|examples/embed\.py")
DEVICES_OF_ITS_OWN = re.compile(r"connmgr simulate|make demo")

DEVICES = """
import asyncio, json, signal, sys
from connmgr.registry import simulators
async def main():
    wanted = json.loads(sys.argv[1])
    devices = [simulators()[name].load()(port=int(port) if port.isdigit() else port) for name, port in wanted.items()]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    for device in devices:
        await device.start()
    print("on", flush=True)
    await stop.wait()
    for device in devices:
        await device.stop()
asyncio.run(main())
"""

TERMINAL = (sys.executable, "-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))")

PIP = """#!/bin/sh
[ "$1" = install ] || exit 64
for path; do :; done
exec {python} -m pip install -q --disable-pip-version-check --no-index --no-deps --no-build-isolation \
    --root-user-action=ignore --upgrade --target "{site}" "${{path%%[*}}"
"""

PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin" && cp {environment}/pyvenv.cfg "$3" && ln -sfn {environment}/lib "$3/lib"
    ln -sf {environment}/bin/* {bin}/pip "$3/bin"
    exec ln -sf {bin}/activate "$3/bin"
fi
exec {python} "$@"
"""


class Stage:
    """The scratch copy, and what runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bin, self._site, self._run = folder / "bin", folder / "site", folder / "run"
        self._ports = _free_ports(folder)
        self._devices: subprocess.Popen[str] | None = None
        self._running: list[tuple[str, subprocess.Popen[bytes], Path]] = []
        for each in (self._bin, self._site, self._run):
            each.mkdir()
        for name in COPIED:
            _copy(ROOT / name, folder / name)
        for config in folder.glob("*/connections.json"):
            config.write_text(self.moved(config.read_text(encoding="utf-8")), encoding="utf-8")
        self._make_programs()

    def moved(self, text: str) -> str:
        """A text with the devices' ports where they are here."""
        for name, port in PORTS.items():
            text = re.sub(rf"(?<![\w./]){re.escape(port)}(?!\w)", self._ports[name], text)
        return text

    def program(self, text: str) -> str:
        """Run a Python program with all devices there; what it prints."""
        self._switch_devices(on=True)
        return self._completed([sys.executable, "-W", "error", "-c", self.moved(text)])

    def shell(self, block: Block) -> str:
        """Run a block of shell commands; what it prints."""
        self._switch_devices(on=not DEVICES_OF_ITS_OWN.search(block.text))
        text = self.moved(block.text).replace("--seconds 60", "--seconds 4")
        printed, lines = "", list[str]()
        for line in text.splitlines():
            if not UNTIL_STOPPED.search(line):
                lines.append(line)
                continue
            printed += self._bash(lines)
            lines = []
            self._start(line)
        return printed + self._bash(lines)

    def _bash(self, lines: list[str]) -> str:
        return self._completed(["bash", "-euo", "pipefail", "-c", "\n".join(lines)])

    def close(self) -> None:
        """End everything, and see that it ends as it should."""
        for _, process, _ in reversed(self._running):
            process.send_signal(signal.SIGTERM)
        codes = [(command, process.wait(PATIENCE), log) for command, process, log in reversed(self._running)]
        self._switch_devices(on=False)
        for command, code, log in codes:
            expected = (0,) if re.search(r"connmgr (run|simulate)\b", command) else (0, 130, 143, -signal.SIGTERM)
            assert code in expected, f"{command} ended with {code}: {log.read_text()}"

    def _start(self, command: str) -> None:
        log = self.folder / f"log{len(self._running)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*(TERMINAL if "--watch" in command else ()), "bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._running.append((command, process, log))
        end = time.monotonic() + PATIENCE
        while not self._is_there(command, log):
            assert time.monotonic() < end, f"{command} does not start: {log.read_text()}"
            time.sleep(0.1)
            assert process.poll() is None, f"{command} ended with {process.returncode}: {log.read_text()}"

    def _is_there(self, command: str, log: Path) -> bool:
        if "connmgr run" not in command:
            return bool(log.read_text())
        status = [str(self._bin / "connmgr"), "status", "--json"]
        found = subprocess.run(status, cwd=self.folder, env=self._environment, capture_output=True, check=False)
        connections = json.loads(found.stdout)["connections"].values() if found.returncode == 0 else []
        return bool(connections) and all(
            connection["status"] == "connected" or not connection["enabled"] for connection in connections
        )

    def _completed(self, command: list[str]) -> str:
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert result.returncode == 0, f"{command[-1]}\nended with {result.returncode}:\n{result.stdout}{result.stderr}"
        return result.stdout

    def _switch_devices(self, *, on: bool) -> None:
        if on and self._devices is None:
            ports = json.dumps(self._ports)
            self._devices = subprocess.Popen(
                [sys.executable, "-c", DEVICES, ports], stdout=subprocess.PIPE, text=True, env=self._environment
            )
            assert self._devices.stdout is not None
            assert self._devices.stdout.readline() == "on\n"
        elif not on and self._devices is not None:
            self._devices.terminate()
            self._devices.communicate(timeout=PATIENCE)
            self._devices = None

    @property
    def _environment(self) -> dict[str, str]:
        # Nothing is inherited: under `make test` there are variables that would lead out of the copy.
        return {
            "PATH": f"{self._bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self._site),
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_RUNTIME_DIR": str(self._run),
        }

    def _make_programs(self) -> None:
        python = Path(sys.executable)
        words = {"python": python, "environment": python.parents[1], "bin": self._bin, "site": self._site}
        for name, text in {"pip": PIP, "python3": PYTHON}.items():
            (self._bin / name).write_text(text.format(**words))
            (self._bin / name).chmod(0o755)
        # The real one would lead to the real environment, and to its pip.
        (self._bin / "activate").write_text(f"PATH={self.folder}/.venv/bin:$PATH\n")
        (self._bin / "connmgr").symlink_to(python.parent / "connmgr")
        self._completed(["python3", "-m", "venv", ".venv"])
        for mark in (".ready-to-run", ".ready-to-develop"):
            (self.folder / ".venv" / mark).touch()


@contextmanager
def stage() -> Iterator[Stage]:
    """A scratch copy, gone at the end. Its path is short: it has unix sockets in it."""
    with tempfile.TemporaryDirectory(prefix="docs-", dir="/tmp") as folder:
        found = Stage(Path(folder))
        try:
            yield found
        finally:
            found.close()


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    else:
        shutil.copy(source, target)


def _free_ports(folder: Path) -> dict[str, str]:
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name, port in PORTS.items() if port.isdigit()}
    ports = {name: str(one.getsockname()[1]) for name, one in sockets.items()}
    for one in sockets.values():
        one.close()
    return ports | {"serial": str(folder / "tty")}
