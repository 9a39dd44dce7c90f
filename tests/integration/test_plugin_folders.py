"""Whose plugin files connmgr runs: root's and its own, and of these the source, nothing that lies beside it."""

import os
import py_compile
import stat
import sys
from pathlib import Path

import pytest

from connmgr import ConnectionManager, RegistrationError

SCALE = """
from connmgr import BaseConnection

class Scale(BaseConnection):
    def connect(self): return True
    def disconnect(self): return True
    def is_connected(self): return True
    def health_check(self): return True
"""

NOBODY = 65_534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)
    (folder / "scale.py").write_text(SCALE)
    return folder


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the file another user's: really, where we may; else by being somebody else ourselves."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: NOBODY)


def test_another_users_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused as a whole."""
    give_away(folder, monkeypatch)
    with pytest.raises(RegistrationError, match=f"{folder}: it belongs to another user; chown root"):
        ConnectionManager().add_plugin_folder(folder)


def test_another_users_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left out."""
    if os.geteuid() != 0:
        folder.chmod(0o755)
        monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
        with pytest.raises(RegistrationError):
            ConnectionManager().add_plugin_folder(folder)
        return
    give_away(folder / "scale.py", monkeypatch)
    manager = ConnectionManager()
    manager.add_plugin_folder(folder)
    assert "it belongs to another user" in manager.registry.failures["scale"]


def test_a_strange_group(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writable for a group that is not ours is refused, for our own it is not."""
    folder.chmod(0o775)
    ConnectionManager().add_plugin_folder(folder)
    monkeypatch.setattr(os, "getegid", lambda: NOBODY)
    if folder.stat().st_gid == 0:
        os.chown(folder, -1, 12_345)
    with pytest.raises(RegistrationError, match="a group that is not ours may write to it; chmod g-w"):
        ConnectionManager().add_plugin_folder(folder)


def test_only_the_source_counts(folder: Path, tmp_path: Path) -> None:
    """A compiled file planted in `__pycache__`, with the source's own time and size, is not run."""
    source = folder / "scale.py"
    evil = tmp_path / "evil.py"
    evil.write_text("raise SystemExit('planted')\n".ljust(source.stat().st_size, "#"))
    times = source.stat().st_mtime_ns
    os.utime(evil, ns=(times, times))
    cached = folder / "__pycache__" / f"scale.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(str(evil), cfile=str(cached), doraise=True)
    assert stat.S_ISREG(cached.stat().st_mode)
    manager = ConnectionManager()
    manager.add_plugin_folder(folder)
    assert manager.registry.failures == {}
    assert manager.registry.get("scale") is not None
