"""What the author of a plugin is told about a mistake, by the daemon and by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connmgr import RetryAfter
from connmgr.errors import judge
from tests.system.program import QUICK, connmgr, plugin, running, until

RAISES = "    async def disconnect(self):\n        raise RuntimeError('boom')\n"
FAILS = "    async def health_check(self):\n        return False\n"
BLOCKS = "    async def connect(self):\n        time.sleep(2.5)\n        return True\n"
HANGS = "    def health_check(self):\n        time.sleep(60)\n"
FORGETS = "    def __init__(self, connection_id, config, app_context):\n        self.host = 'x'\n"


def of(type_: str) -> dict[str, Any]:
    return {"type": type_}


def test_a_bug_in_disconnect_is_seen(tmp_path: Path) -> None:
    """A disconnect() that raises is logged once with its traceback and counted, however often it is called."""
    folder = plugin(tmp_path / "p", "odd", FAILS + RAISES)
    with running(tmp_path, {"one": of("odd")}, "--plugins", folder) as daemon:
        bugs = "/api/v1/connections/one"
        until(lambda: daemon.get(bugs)["bugs"] >= 3, f"three of them are counted; the log says {daemon.log}")
        assert daemon.stop() == 0
        assert daemon.log.count("a bug in the plugin's disconnect()") == 1
        assert "RuntimeError: boom" in daemon.log
        assert "Traceback" in daemon.log


def test_a_loop_that_stood_still_is_told(tmp_path: Path) -> None:
    """An async method that blocks is worth a warning: from the outside one only sees that everything is late."""
    folder = plugin(tmp_path / "p", "odd", BLOCKS)
    with running(tmp_path, {"one": of("odd")}, "--plugins", folder) as daemon:
        until(lambda: "everything stood still" in daemon.log, "the log says so")
        assert daemon.stop() == 0


def test_a_plugin_that_hangs_is_told(tmp_path: Path) -> None:
    """A plain method that does not return is one line in the log, however many attempts it costs."""
    folder = plugin(tmp_path / "p", "odd", HANGS)
    with running(
        tmp_path, {"one": of("odd")}, "--plugins", folder, settings=QUICK | {"health_check_timeout": 0.1}
    ) as d:
        until(lambda: d.get("/api/v1/connections/one")["reconnect_attempts"] >= 3, "three attempts have failed")
        assert d.log.count("the plugin hangs") == 1
        assert "health_check()" in d.log
        assert d.stop() == 0


def test_types_that_cannot_be_used_are_told_at_the_start(tmp_path: Path) -> None:
    """A plugin file with a slip is a line in the log, also when no connection uses it yet."""
    folder = plugin(tmp_path / "p", "good", "")
    (folder / "slip.py").write_text("def f(:\n")
    with running(tmp_path, {"one": of("good")}, "--plugins", folder) as daemon:
        until(lambda: "a connection type cannot be used" in daemon.log, "the log says so")
        assert "SyntaxError" in daemon.log
        assert daemon.stop() == 0


def test_whose_fault_it_is(tmp_path: Path) -> None:
    """A constructor that fails is told as the plugin's fault, not as a device's answer."""
    folder = plugin(tmp_path / "p", "odd", FORGETS)
    with running(tmp_path, {"one": of("odd")}, "--plugins", folder) as daemon:
        daemon.wait_for("one", "suspended")
        found = connmgr("why", "one", "--socket", daemon.socket).stdout
        assert "one (odd): ‖ suspended" in found
        assert "did it call super().__init__()?" in found
        assert "layer    plugin: " in found
        assert daemon.stop() == 0


def test_a_named_pause_is_the_devices() -> None:
    """A device that asks to be left alone for a while has kept to its protocol."""
    assert judge(RetryAfter(20, "cannot log in: another session is open")).layer == "device"


def test_a_type_that_cannot_be_used(tmp_path: Path) -> None:
    """`connmgr plugins TYPE` gives the reason, with the names it is about, and nothing that is not there."""
    folder = plugin(tmp_path / "p", "two", "")
    with (folder / "two.py").open("a") as file:
        file.write("class Odder(Odd): ...\n")
    found = connmgr("plugins", "two", "--plugins", folder)
    assert "it has 2 connection classes (Odd, Odder)" in found.stdout
    assert "None" not in found.stdout
