"""`connmgr demo`, the first thing anybody sees: it shows every status, and leaves nothing behind."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time
from pathlib import Path

import pytest

from tests.system.program import PROGRAM, connmgr, environment, until

ROOT = Path(__file__).parents[2]
DEVICES = ["press_plc", "boiler", "scale", "my_tcp_device", "weather"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The example's configuration, on ports that are free."""
    document = json.loads((ROOT / "config/connections.json").read_text())
    for entry in document["connections"].values():
        own = entry["config"]
        if "base_url" in own:
            own["base_url"] = f"http://127.0.0.1:{_free_port()}"
        else:
            own["port"] = str(tmp_path / "tty") if isinstance(own["port"], str) else _free_port()
    file = tmp_path / "connections.json"
    file.write_text(json.dumps(document))
    return file


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Demo:
    """The demo as a process, its output in a file."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.folder = config.parent
        self.temporary = Path(tempfile.mkdtemp(prefix="cm-", dir="/tmp"))  # short: a socket's path has a limit
        self._output = self.folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*PROGRAM, "demo", "-c", str(config), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(TMPDIR=str(self.temporary)),
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def children(self) -> list[int]:
        """The processes of this demo, whoever their parent is by now: they name its folder or its ports."""
        text = (self.folder / "connections.json").read_text()
        marks = {str(self.folder), str(self.temporary), *re.findall(r'(?:"port": |127\.0\.0\.1:)(\d+)', text)}
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == self.process.pid:
                continue
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            is_ours = any(mark in argument for mark in marks for argument in line)
            if is_ours and "connmgr" in line and ("simulate" in line or "run" in line):
                found.append(int(entry.name))
        return found

    def leaves_nothing(self) -> None:
        """No process, no path of the serial device, no temporary folder."""
        until(lambda: not self.children(), "its processes are gone", 8)
        assert not os.path.lexists(self.folder / "tty")
        self.temporary.rmdir()  # raises when it is not empty


@pytest.mark.timeout(120)
def test_it_ends_by_itself(config: Path) -> None:
    """--seconds 20: devices and connections as lines without escape codes, 0, a summary, and nothing left running."""
    began = time.monotonic()
    demo = Demo(config, "--seconds", "20")
    assert demo.process.wait(60) == 0, demo.output
    assert 20 <= time.monotonic() - began < 35
    lines = demo.output.splitlines()
    assert "\x1b" not in demo.output
    assert "==> Starting 5 simulated devices, then the daemon" in lines[0]
    for name in DEVICES:
        assert any(re.search(rf"^\d\d:\d\d:\d\d\.\d  {name} +connected", line) for line in lines)
    assert any("==> Taking the PLC away: watch press_plc go error → suspended" in line for line in lines)
    assert re.search(r"press_plc +error +the PLC closed|press_plc +error +cannot", demo.output)
    assert re.search(r"press_plc +suspended", demo.output)
    assert re.match(r"After 2\d s: press_plc lost 1, back \d; boiler lost 0.*Nothing is left running\.$", lines[-1])
    demo.leaves_nothing()


@pytest.mark.timeout(180)
def test_a_whole_round(config: Path) -> None:
    """Every device is lost and brought back, and every status and command is seen."""
    document = json.loads(config.read_text())
    document["settings"] |= {
        "reconnect_delay_initial": 0.3,
        "suspended_probe_interval": 2,
        "health_check_interval": 0.5,
    }
    config.write_text(json.dumps(document))
    demo = Demo(config)
    try:
        until(lambda: demo.output.count("==> Everything is connected") == 2, f"a round; {demo.output}", 120)
        demo.process.send_signal(signal.SIGTERM)
        assert demo.process.wait(20) == 0
    finally:
        demo.process.kill()
        demo.process.wait()
    for name in DEVICES:
        assert f"{name} lost 1, back 1" in demo.output
    for event in ("connecting", "connected", "error", "suspended", "resumed", "disconnected", "health_check_failed"):
        assert re.search(rf"^\S+  \S+ +{event}( |$)", demo.output, re.MULTILINE), event
    demo.leaves_nothing()


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "at once"),
        (signal.SIGINT, "while starting"),
        (signal.SIGINT, "in the middle"),
        (signal.SIGTERM, "while starting"),
        (signal.SIGHUP, "in the middle"),
    ],
)
def test_it_can_be_ended_at_any_moment(config: Path, number: signal.Signals, moment: str) -> None:
    """Ctrl-C, SIGTERM and a closed terminal end it with 0 and nothing left running."""
    demo = Demo(config)
    try:
        if moment == "at once":
            until(lambda: "Starting" in demo.output, "it begins")
        elif moment == "while starting":
            until(demo.children, "the first process")
        else:
            until(lambda: "Taking the PLC away" in demo.output, "the first loss", 40)
        demo.process.send_signal(number)
        assert demo.process.wait(20) == 0, demo.output
    finally:
        demo.process.kill()
        demo.process.wait()
    assert "Traceback" not in demo.output
    demo.leaves_nothing()


@pytest.mark.timeout(90)
def test_killed_it_takes_its_processes_with_it(config: Path) -> None:
    """After kill -9 no simulated device and no daemon is left, not even a frozen one."""
    demo = Demo(config)
    try:
        until(lambda: len(demo.children()) == 6, "everything runs", 40)
        frozen = next(pid for pid in demo.children() if "http" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
        os.kill(frozen, signal.SIGSTOP)
    finally:
        demo.process.kill()
        demo.process.wait()
    until(lambda: not demo.children(), "they are gone", 15)
    assert not os.path.lexists(config.parent / "tty")
    shutil.rmtree(demo.temporary)  # the one thing that nobody is left to remove


@pytest.mark.timeout(90)
@pytest.mark.parametrize("number", [signal.SIGINT, None])
def test_in_a_terminal(config: Path, number: signal.Signals | None) -> None:
    """On a terminal it is a page on a screen of its own, with the devices on and off; the summary stays afterwards."""
    temporary = Path(tempfile.mkdtemp(prefix="cm-", dir="/tmp"))
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 32, 110, 0, 0))
    arguments = ["demo", "-c", str(config), *(["--seconds", "12"] if number is None else [])]
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=slave, stdout=slave, stderr=slave,
        env=environment(TERM="xterm-256color", TMPDIR=str(temporary)),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - there are no threads
    )  # fmt: skip
    os.close(slave)
    shown, end, is_sent = "", time.monotonic() + 60, False
    try:
        while time.monotonic() < end:
            if select.select([master], [], [], 0.1)[0]:
                shown += os.read(master, 65_536).decode(errors="replace")
            if number is not None and not is_sent and "Everything is connected" in shown:
                os.write(master, b"\x03")  # Ctrl-C, to everybody in the terminal
                is_sent = True
    except OSError:
        pass  # it has ended
    finally:
        os.close(master)
    assert process.wait(20) == 0
    assert "\x1b[?1049h" in shown
    last = shown.rpartition("\x1b[?1049l")[2]
    assert "After" in last
    assert "Nothing is left running." in last
    assert "Traceback" not in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    for words in ("connmgr demo", "Ctrl-C ends it", "● connected", "starting", "on", "Look for yourself"):
        assert words in plain, words
    temporary.rmdir()
    assert not os.path.lexists(config.parent / "tty")


@pytest.mark.timeout(90)
@pytest.mark.parametrize("which", ["tcp", "serial"])
def test_a_port_that_is_taken(config: Path, tmp_path: Path, which: str) -> None:
    """1, which one, and what to do; what was started already is gone, and what was there is untouched."""
    connections = json.loads(config.read_text())["connections"]
    name = "press_plc" if which == "tcp" else "scale"
    port = connections[name]["config"]["port"]
    if which == "serial":
        Path(port).write_text("mine")
        demo = Demo(config)
    else:
        with socket.create_server(("127.0.0.1", port)):
            demo = Demo(config)
            demo.process.wait(40)
    assert demo.process.wait(40) == 1
    assert f"for {name}: " in demo.output
    assert f"{port} is taken" in demo.output
    assert "-c FILE" in demo.output
    assert "Traceback" not in demo.output
    until(lambda: not demo.children(), "the others are gone")
    demo.temporary.rmdir()
    assert which == "tcp" or Path(port).read_text() == "mine"


def test_a_bad_configuration(tmp_path: Path) -> None:
    """78, with the place; a file that is not there too."""
    file = tmp_path / "c.json"
    file.write_text('{"connections": {"x": {"type": "nix"}}}')
    found = connmgr("demo", "-c", file)
    assert found.returncode == 78
    assert f"{file}:1:" in found.stderr
    assert connmgr("demo", "-c", tmp_path / "nix.json").returncode == 78


def test_without_a_configuration_it_brings_its_own() -> None:
    """What ships with the program is the repository's example."""
    from importlib.resources import files

    packaged = (files("connmgr") / "demo_connections.json").read_text(encoding="utf-8")
    assert packaged == (ROOT / "config/connections.json").read_text(encoding="utf-8")


@pytest.mark.timeout(60)
def test_what_cannot_be_simulated_is_left_alone(tmp_path: Path) -> None:
    """A connection that leads off this machine, and a type without a simulator, are shown and not simulated."""
    file = tmp_path / "connections.json"
    far = {"type": "tcp", "config": {"host": "192.0.2.1", "port": 5000}}
    near = {"type": "tcp", "config": {"host": "127.0.0.1", "port": _free_port()}}
    file.write_text(json.dumps({"connections": {"far": far, "near": near, "off": {**near, "enabled": False}}}))
    demo = Demo(file, "--seconds", "6")
    assert demo.process.wait(40) == 0
    assert "Starting 1 simulated device, then the daemon" in demo.output
    assert re.search(r"near +connected", demo.output)
    assert "After" in demo.output
    assert "near lost" in demo.output
    demo.leaves_nothing()
