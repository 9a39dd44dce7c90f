"""A reload is a diff: what did not change is not touched, and what is invalid changes nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.system.program import QUICK, connmgr, device, running, until


@pytest.mark.parametrize("how", ["SIGHUP", "command"])
def test_an_untouched_connection_keeps_its_socket(tmp_path: Path, how: str) -> None:
    """The device sees the same client before and after, while others come, go and change."""
    with device() as kept, device() as moved, device() as added:
        entries = {"kept": kept.connection, "moved": moved.connection, "gone": moved.connection}
        with running(tmp_path, entries) as daemon:
            for name in entries:
                daemon.wait_for(name, "connected")
            before = list(kept.open)
            daemon.configure(
                {
                    "kept": {**kept.connection, "name": "Kept", "settings": {"health_check_interval": 0.1}},
                    "moved": added.connection,
                    "added": added.connection,
                },
                QUICK | {"dial_rate": 50},
            )
            if how == "SIGHUP":
                daemon.send(signal.SIGHUP)
            else:
                found = connmgr("reload", "--socket", daemon.socket)
                assert found.returncode == 0, found.stderr
                assert "added: added" in found.stdout
                assert "gone: removed" in found.stdout
                assert "moved: replaced" in found.stdout
                assert "kept: supervised differently (its link stays)" in found.stdout
            until(lambda: len(added.open) == 2, "both new links are there")
            until(lambda: not moved.open, "both old links are gone")
            assert list(kept.open) == before
            assert kept.peers == before
            assert daemon.status("kept") == "connected"
            assert "configuration reloaded" in daemon.log
            assert daemon.stop() == 0


def test_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    """`connmgr reload` ends with 78 and says where; after SIGHUP the log does. Every link stays."""
    with device() as peer, running(tmp_path, {"press": peer.connection}) as daemon:
        daemon.wait_for("press", "connected")
        before = list(peer.peers)
        daemon.config.write_text(
            '{"connections": {\n  "press": {"type": "tcp", "config": {"host": "x", "port": 70000}}}}'
        )
        found = connmgr("reload", "--socket", daemon.socket)
        assert found.returncode == 78
        assert "connections.json:2:" in found.stderr
        assert found.stdout == ""
        daemon.send(signal.SIGHUP)
        until(lambda: daemon.log.count("nothing changed") == 2, "the log says so too")
        daemon.config.unlink()
        assert connmgr("reload", "--socket", daemon.socket, "--json").returncode == 78
        assert daemon.status("press") == "connected"
        assert peer.peers == before
        assert daemon.stop() == 0


def test_a_dry_run_only_tells(tmp_path: Path) -> None:
    """--dry-run names what would change, as JSON too, and changes nothing."""
    with device() as peer, running(tmp_path, {"press": peer.connection}) as daemon:
        daemon.configure({"press": peer.connection, "other": peer.connection})
        found = connmgr("reload", "--dry-run", "--json", "--socket", daemon.socket)
        assert found.returncode == 0
        answer = json.loads(found.stdout)
        assert answer["dry_run"] is True
        assert answer["changes"]["added"] == ["other"]
        assert answer["changes"]["unchanged"] == ["press"]
        assert "other: would be added" in connmgr("reload", "--dry-run", "--socket", daemon.socket).stdout
        assert list(daemon.get("/api/v1/connections")["connections"]) == ["press"]
        assert daemon.stop() == 0


def test_reloads_side_by_side(tmp_path: Path) -> None:
    """A hundred signals while the file changes: it goes by the last one, and nothing is lost or doubled."""
    with device() as peer, running(tmp_path, {"press": peer.connection}) as daemon:
        for number in range(100):
            daemon.configure({f"c{number % 3}": peer.connection})
            daemon.send(signal.SIGHUP)
        daemon.configure({"last": peer.connection})
        daemon.send(signal.SIGHUP)
        until(lambda: list(daemon.get("/api/v1/connections")["connections"]) == ["last"], "the last file counts")
        until(lambda: len(peer.open) == 1, "one link is left")
        assert daemon.stop() == 0
