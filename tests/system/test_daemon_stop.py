"""However the daemon is ended, it ends soon, cleanly, and can be started again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.system.program import Daemon, connmgr, device, plugin, running, until


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(tmp_path: Path, number: signal.Signals, loop: str) -> None:
    """SIGTERM and SIGINT close the links, remove the socket, and end it with 0, on both event loops."""
    with device() as peer, running(tmp_path, {"press": peer.connection}, CONNMGR_LOOP=loop) as daemon:
        daemon.wait_for("press", "connected")
        began = time.monotonic()
        assert daemon.stop(number) == 0
        assert time.monotonic() - began < 3
        assert not daemon.socket.exists()
        until(lambda: not peer.open, "the link is closed")
        assert "connmgr has stopped" in daemon.log
        assert "Traceback" not in daemon.log


ODD = {
    "a plain method that never returns": "    def connect(self):\n        time.sleep(3600)\n",
    "a task that eats cancellation": (
        "    async def connect(self):\n"
        "        async def eat():\n"
        "            while True:\n"
        "                try:\n"
        "                    await asyncio.sleep(3600)\n"
        "                except asyncio.CancelledError:\n"
        "                    pass\n"
        "        self.task = asyncio.create_task(eat(), name='eater')\n"
        "        return True\n"
    ),
    "a connect that eats cancellation": (
        "    async def connect(self):\n"
        "        while True:\n"
        "            try:\n"
        "                await asyncio.sleep(3600)\n"
        "            except BaseException:\n"
        "                pass\n"
    ),
    "a disconnect that hangs": "    async def disconnect(self):\n        await asyncio.sleep(3600)\n",
    "a thread that keeps Python from ending": (
        "    async def connect(self):\n"
        "        threading.Thread(target=time.sleep, args=(3600,), name='sleeper').start()\n"
        "        return True\n"
    ),
    "a job in the loop's own executor": (
        "    async def connect(self):\n        await asyncio.to_thread(time.sleep, 3600)\n        return True\n"
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_a_plugin_that_hangs_delays_the_end_by_seconds_only(tmp_path: Path, what: str) -> None:
    """SIGTERM ends it with 0 within disconnect_timeout and a few seconds, whatever a plugin does."""
    folder = plugin(tmp_path / "plugins", "odd", ODD[what])
    settings = {"disconnect_timeout": 1, "connection_timeout": 0.3, "reconnect_delay_initial": 1}
    with running(tmp_path, {"odd": {"type": "odd"}}, "--plugins", folder, settings=settings) as daemon:
        time.sleep(0.6)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 10
        assert "connmgr has stopped" in daemon.log


def test_it_can_be_ended_while_it_starts(tmp_path: Path) -> None:
    """SIGTERM during the import of a slow plugin ends it with 0; SIGHUP then does nothing."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "slow.py").write_text(f"import time\nopen({str(tmp_path / 'importing')!r}, 'w')\ntime.sleep(25)\n")
    daemon = Daemon(tmp_path, {}, "--plugins", folder)
    daemon.start()
    until((tmp_path / "importing").exists, "the plugin is being imported")
    daemon.send(signal.SIGHUP)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 6


def test_it_can_be_ended_while_a_plugin_is_slow_to_construct(tmp_path: Path) -> None:
    """SIGTERM before all objects are made ends it with 0, and does not wait for a constructor that sleeps."""
    mark = tmp_path / "constructing"
    body = f"    def __init__(self, *_):\n        open({str(mark)!r}, 'w')\n        time.sleep(60)\n"
    folder = plugin(tmp_path / "plugins", "odd", body)
    daemon = Daemon(tmp_path, {"odd": {"type": "odd"}}, "--plugins", folder)
    daemon.start()
    until(mark.exists, "the constructor has begun")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 6


def test_kill_and_restart(tmp_path: Path) -> None:
    """After kill -9 the next one replaces the dead one's socket and connects again."""
    with device() as peer:
        with running(tmp_path, {"press": peer.connection}) as daemon:
            daemon.wait_for("press", "connected")
            daemon.running.kill()
            daemon.ended()
            assert daemon.socket.exists()
            assert connmgr("status", "--socket", daemon.socket).returncode == 69
        with running(tmp_path, {"press": peer.connection}) as daemon:
            daemon.wait_for("press", "connected")
            assert daemon.stop() == 0


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """Two daemons cannot share a socket: the second one ends with 73, and the first goes on."""
    with running(tmp_path, {}) as daemon:
        other = connmgr("run", "-c", daemon.config, "--socket", daemon.socket, "--state-dir", tmp_path / "other")
        assert other.returncode == 73
        assert "another connmgr has it" in other.stderr
        assert daemon.is_ready()
        assert daemon.stop() == 0


@pytest.mark.parametrize("where", ["missing/s", "file/s", "file", "folder", "x" * 120])
def test_a_socket_that_cannot_be_had(tmp_path: Path, where: str) -> None:
    """It says what is wrong, ends with 73, and touches nothing that is there."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "c.json").write_text('{"connections": {}}')
    found = connmgr("run", "-c", tmp_path / "c.json", "--socket", tmp_path / where, "--state-dir", tmp_path / "state")
    assert found.returncode == 73
    assert "cannot listen on" in found.stderr
    assert "--socket" in found.stderr
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "folder").is_dir()


def test_a_state_directory_that_cannot_be_had(tmp_path: Path) -> None:
    """73 too, before anything is opened."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "c.json").write_text('{"connections": {}}')
    found = connmgr("run", "-c", tmp_path / "c.json", "--socket", tmp_path / "s", "--state-dir", tmp_path / "file")
    assert found.returncode == 73
    assert "cannot use the state directory" in found.stderr


@pytest.mark.parametrize("text", ["", "{", '{"connections": {"x": {"type": "nix"}}}', '{"connections": []}'])
def test_a_bad_configuration(tmp_path: Path, text: str) -> None:
    """78, with the place."""
    (tmp_path / "c.json").write_text(text)
    found = connmgr("run", "-c", tmp_path / "c.json", "--socket", tmp_path / "s", "--state-dir", tmp_path / "state")
    assert found.returncode == 78
    assert "c.json:1:" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_blocked_log_pipe_blocks_nothing_else(tmp_path: Path) -> None:
    """With nobody reading its standard error it serves, reloads and ends as always."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        try:
            while True:
                os.write(writing, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writing, True)
        with device() as peer, running(tmp_path, {"press": peer.connection}, stderr=writing) as daemon:
            daemon.wait_for("press", "connected")
            for _ in range(20):
                daemon.post("/api/v1/connections/press/reconnect")
            daemon.wait_for("press", "connected")
            assert daemon.stop(patience=12) == 0
    finally:
        os.close(reading)
        os.close(writing)


def test_a_secret_in_the_open_is_warned_about(tmp_path: Path) -> None:
    """`run` logs what `check` prints: a secret in a file that everybody can read. Both go on."""
    secret = {"type": "http", "config": {"base_url": "http://127.0.0.1:1", "api_key": "hunter2-canary"}}
    with running(tmp_path, {"api": secret}) as daemon:
        until(lambda: "everybody on this machine can read" in daemon.log, "the warning is logged")
        checked = connmgr("check", daemon.config)
        assert checked.returncode == 0
        assert "everybody on this machine can read" in checked.stderr
        assert "hunter2-canary" not in checked.stderr + checked.stdout + daemon.log
        assert daemon.stop() == 0


def test_asked_twice_it_drops_everything(tmp_path: Path) -> None:
    """A second signal ends it at once, with 1: somebody is in a hurry."""
    folder = plugin(tmp_path / "plugins", "odd", ODD["a disconnect that hangs"])
    with running(
        tmp_path, {"odd": {"type": "odd"}}, "--plugins", folder, settings={"disconnect_timeout": 20}
    ) as daemon:
        daemon.wait_for("odd", "connected")
        daemon.send(signal.SIGTERM)
        until(lambda: "is stopping" in daemon.log, "it stops")
        daemon.send(signal.SIGTERM)
        assert daemon.ended(3) == 1
