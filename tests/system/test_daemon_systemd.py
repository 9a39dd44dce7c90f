"""What systemd hears on the notify socket, from the running program."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.program import Daemon, device, plugin, running, until


class Systemd:
    """The far end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def messages(self) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append((time.monotonic(), self._socket.recv(4096).decode()))
        return [message for _, message in self.heard]

    def wait_for(self, *messages: str) -> None:
        """Wait until these have come, in this order."""

        def in_order() -> bool:
            rest = iter(self.messages())
            return all(any(heard.startswith(message) for heard in rest) for message in messages)

        until(in_order, f"{messages}; heard {self.heard}")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with contextlib.closing(Systemd(tmp_path / "notify")) as found:
        yield found


def test_the_whole_life(tmp_path: Path, systemd: Systemd) -> None:
    """READY after start-up, STATUS in words, RELOADING with the time and READY around a reload, STOPPING at the end."""
    with device() as peer:
        with running(tmp_path, {"press": peer.connection}, NOTIFY_SOCKET=str(systemd.path)) as daemon:
            systemd.wait_for("READY=1", "STATUS=1 connected")
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            daemon.send(signal.SIGHUP)
            systemd.wait_for("READY=1", "RELOADING=1\nMONOTONIC_USEC=", "READY=1")
            reloading = next(message for message in systemd.messages() if message.startswith("RELOADING"))
            assert int(reloading.rpartition("=")[2]) >= before
            assert daemon.stop() == 0
            systemd.wait_for("READY=1", "RELOADING=1", "READY=1", "STOPPING=1")
        assert not [message for message in systemd.messages() if "WATCHDOG" in message]


def test_a_failed_reload_ends_its_announcement(tmp_path: Path, systemd: Systemd) -> None:
    """RELOADING is followed by READY also when the new file is bad, or systemd would kill a healthy daemon."""
    with running(tmp_path, {}, NOTIFY_SOCKET=str(systemd.path)) as daemon:
        daemon.config.write_text("{")
        daemon.send(signal.SIGHUP)
        systemd.wait_for("READY=1", "RELOADING=1", "READY=1")
        assert daemon.stop() == 0


def test_nothing_is_ready_that_cannot_start(tmp_path: Path, systemd: Systemd) -> None:
    """No READY with a bad configuration."""
    daemon = Daemon(tmp_path, {"x": {"type": "nix"}}, NOTIFY_SOCKET=str(systemd.path))
    daemon.start()
    assert daemon.ended() == 78
    assert "READY=1" not in systemd.messages()


BLOCK = """
    async def health_check(self):
        if os.path.exists(os.environ["BLOCK"]):
            time.sleep(3)
        return True
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_watchdog_is_earned(tmp_path: Path, systemd: Systemd, loop: str) -> None:
    """Pings come while the event loop turns, and stop while a plugin blocks it."""
    folder = plugin(tmp_path / "plugins", "odd", BLOCK)
    environ = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "1000000", "CONNMGR_LOOP": loop}
    block = tmp_path / "block"
    with running(tmp_path, {"odd": {"type": "odd"}}, "--plugins", folder, BLOCK=str(block), **environ) as daemon:
        systemd.wait_for("READY=1", *["WATCHDOG=1"] * 5)
        block.touch()
        until(lambda: time.monotonic() - _last_ping(systemd) > 1.5, "the pings have stopped")
        block.unlink()
        count = len(systemd.messages())
        until(lambda: "WATCHDOG=1" in systemd.messages()[count:], "the pings have come back")
        assert daemon.stop() == 0


def test_the_watchdog_of_somebody_else(tmp_path: Path, systemd: Systemd) -> None:
    """With another process's WATCHDOG_PID there are no pings."""
    environ = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}
    with running(tmp_path, {}, **environ) as daemon:
        systemd.wait_for("READY=1")
        time.sleep(0.5)
        assert daemon.stop() == 0
    assert "WATCHDOG=1" not in systemd.messages()


def _last_ping(systemd: Systemd) -> float:
    systemd.messages()
    return max(at for at, message in systemd.heard if message == "WATCHDOG=1")
