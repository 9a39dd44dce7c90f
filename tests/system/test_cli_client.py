"""Commands that talk to a daemon: exit codes, JSON and nothing else on standard output, words for people."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.program import PROGRAM, Daemon, connmgr, environment, running, until

COMMANDS = ("connect", "disconnect", "suspend", "resume", "reconnect")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all tests here: `up` is connected, `down` leads nowhere, `off` is disabled."""
    folder = tmp_path_factory.mktemp("daemon")
    simulated = folder / "device"
    with simulated.open("wb") as output:
        peer = subprocess.Popen([*PROGRAM, "simulate", "tcp", "-p", "0"], stdout=output, env=environment())
    try:
        until(lambda: '"config": ' in simulated.read_text(), "the device is on")
        config = json.loads(simulated.read_text().partition('"config": ')[2])
        nowhere: dict[str, Any] = {"type": "tcp", "config": {"host": "127.0.0.1", "port": 1}, "name": "Nowhere ✓"}
        nowhere["settings"] = {"reconnect_delay_initial": 0.2, "reconnect_max_attempts": 2}
        connections = {"up": {"type": "tcp", "config": config}, "down": nowhere, "off": {**nowhere, "enabled": False}}
        with running(folder, connections) as found:
            found.wait_for("up", "connected")
            found.wait_for("down", "suspended")
            yield found
    finally:
        peer.kill()
        peer.wait()


def ask(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    return connmgr(*arguments, "--socket", daemon.socket)


def test_status(daemon: Daemon) -> None:
    """A table with every connection, what is wrong and what comes next; no escape codes where there is no terminal."""
    found = ask(daemon, "status")
    assert (found.returncode, found.stderr) == (0, "")
    lines = found.stdout.splitlines()
    assert lines[0].split()[:4] == ["connection", "type", "status", "since"]
    assert "● connected" in lines[1]
    assert "‖ suspended" in lines[2]
    assert "probe in 5 min" in lines[2] or "probe in 4 min" in lines[2]
    assert "cannot connect" in lines[2]
    assert "disabled" in lines[3]
    assert "\x1b" not in found.stdout
    assert all(len(line) <= 160 for line in lines)


def test_status_as_json(daemon: Daemon) -> None:
    """{"node", "connections"} in seed 002's keys and ours; one ID narrows it down."""
    found = ask(daemon, "status", "--json")
    document = json.loads(found.stdout)
    assert set(document) == {"node", "connections"}
    assert list(document["connections"]) == ["up", "down", "off"]
    assert document["connections"]["down"]["name"] == "Nowhere ✓"
    assert "Nowhere ✓" in found.stdout
    one = json.loads(ask(daemon, "status", "up", "--json").stdout)
    assert list(one["connections"]) == ["up"]
    assert one["connections"]["up"]["status"] == "connected"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(daemon: Daemon, command: str) -> None:
    """0 and one line; --json prints the connection; a disabled one is refused with 1."""
    found = ask(daemon, command, "up")
    assert found.returncode == 0
    assert found.stdout.startswith("up: ")
    assert found.stdout.count("\n") == 1
    found = ask(daemon, command, "up", "--json")
    assert json.loads(found.stdout)["connection_id"] == "up"
    refused = ask(daemon, command, "off")
    assert refused.returncode == 1
    assert "it is disabled" in refused.stderr
    assert refused.stdout == ""
    ask(daemon, "connect", "up")
    daemon.wait_for("up", "connected")


def test_why(daemon: Daemon) -> None:
    """The layer that failed, what happens next, the last events; as JSON too."""
    found = ask(daemon, "why", "down")
    assert found.returncode == 0
    assert "down (Nowhere ✓, tcp): ‖ suspended" in found.stdout
    assert "layer    tcp: the network or the port" in found.stdout
    assert "next attempt in" in found.stdout
    assert "suspended" in found.stdout.splitlines()[-1]
    document = json.loads(ask(daemon, "why", "down", "--json").stdout)
    assert {"outlook", "events", "status", "last_error"} <= set(document)
    assert "it is connected" in ask(daemon, "why", "up").stdout
    assert "it is disabled" in ask(daemon, "why", "off").stdout


STRANGE = ["nix", "a b", "a/b", "../x", "ü", "%2F", "?x=1", "#", "x" * 3000, "\x1b[31m", "a\nb"]


@pytest.mark.parametrize("name", STRANGE)
def test_a_connection_that_does_not_exist(daemon: Daemon, name: str) -> None:
    """66 for whatever is no id, with nothing on standard output and nothing that commands the terminal."""
    for command in ("status", "why", "suspend"):
        found = ask(daemon, command, name)
        assert found.returncode == 66, (command, found.stderr)
        assert found.stdout == ""
        assert "there is no connection" in found.stderr
        assert "\x1b" not in found.stderr


def test_events(daemon: Daemon) -> None:
    """Everything so far, one line each; one JSON object a line with --json."""
    found = ask(daemon, "events")
    assert found.returncode == 0
    assert any("down" in line and "suspended" in line for line in found.stdout.splitlines())
    events = [json.loads(line) for line in ask(daemon, "events", "--json").stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_events_as_they_happen(daemon: Daemon, tmp_path: Path, number: signal.Signals) -> None:
    """--follow shows an event at once, also into a pipe, until it is interrupted."""
    output = tmp_path / "events"
    command = [*PROGRAM, "events", "--follow", "--json", "--socket", str(daemon.socket)]
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment())
    try:
        until(lambda: output.read_text().count("\n") > 2, "the past")
        seen = output.read_text().count("\n")
        ask(daemon, "reconnect", "up")
        until(lambda: output.read_text().count("\n") >= seen + 2, "the present")
        assert all(json.loads(line)["connection_id"] for line in output.read_text().splitlines())
        process.send_signal(number)
        assert process.wait(10) in (0, -number)
        assert "Traceback" not in output.read_text()
    finally:
        process.kill()
        process.wait()


def test_completion_of_ids(daemon: Daemon) -> None:
    """The shell is told the ids that the daemon has."""
    for line, count, found in (("connmgr why ", 2, ["up", "down", "off"]), ("connmgr suspend d", 2, ["down"])):
        completed = connmgr(
            _CONNMGR_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(count), CONNMGR_SOCKET=str(daemon.socket)
        )
        assert completed.stdout.split() == found
    line = f"connmgr why --socket {daemon.socket} "
    completed = connmgr(_CONNMGR_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD="4")
    assert completed.stdout.split() == ["up", "down", "off"]


NO_DAEMON = [
    ["status"],
    ["status", "--json"],
    ["why", "x"],
    ["events"],
    ["reload"],
    *([name, "x"] for name in COMMANDS),
]


@pytest.mark.parametrize("arguments", NO_DAEMON, ids=" ".join)
@pytest.mark.parametrize("where", ["missing", "file", "dead"])
def test_no_daemon(tmp_path: Path, arguments: list[str], where: str) -> None:
    """69, what was tried and what to do, and nothing on standard output."""
    (tmp_path / "file").write_text("")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    found = connmgr(*arguments, "--socket", tmp_path / where)
    assert found.returncode == 69
    assert found.stdout == ""
    assert f"no daemon answers on {tmp_path / where}" in found.stderr
    assert "connmgr run" in found.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_live_table(daemon: Daemon, number: signal.Signals) -> None:
    """`status --watch` shows the table on a screen of its own, and puts the terminal right when it is interrupted."""
    shown, code = _in_a_terminal(["status", "--watch", "--socket", str(daemon.socket)], "connected", number)
    assert code == 0
    assert "suspended" in shown
    assert "\x1b[?1049h" in shown
    assert shown.rindex("\x1b[?1049l") > shown.rindex("suspended")
    assert "\x1b[?25h" in shown


def _in_a_terminal(arguments: list[str], wait_for: str, number: signal.Signals) -> tuple[str, int]:
    """Run in a pty until something is shown, then send the signal. Returns all that was shown, and the exit code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 130, 0, 0))
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdin=slave, stdout=slave, stderr=slave, env=environment(TERM="xterm-256color")
    )
    os.close(slave)
    shown, end, is_sent = "", time.monotonic() + 20, False
    try:
        while time.monotonic() < end:
            if select.select([master], [], [], 0.1)[0]:
                shown += os.read(master, 65_536).decode(errors="replace")
            if wait_for in shown and not is_sent:
                process.send_signal(number)
                is_sent = True
    except OSError:
        pass  # the program has closed its side
    finally:
        os.close(master)
        if not is_sent:
            process.kill()
    return shown, process.wait(5)
