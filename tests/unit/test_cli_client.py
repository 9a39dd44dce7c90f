"""Whom the command line believes, and what it lets through to a terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from connmgr.cli.client import NoDaemon, default_socket, fail, find_socket, json_text
from connmgr.cli.run import _make_private


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The default socket's folder in /tmp of a user whom nobody is; the test makes it."""
    for name in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY", "CONNMGR_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    user = 3_000_000_000 + os.getpid()
    monkeypatch.setattr(os, "getuid", lambda: user)
    made = default_socket().parent
    yield made
    if made.is_symlink():
        made.unlink()
    elif made.exists():
        made.rmdir()


@pytest.mark.skipif(Path("/run/connmgr/connmgr.sock").exists(), reason="the system's service is asked then")
def test_a_folder_that_somebody_else_made_is_not_trusted(folder: Path) -> None:
    """Neither client nor daemon uses a default folder in /tmp that belongs to somebody else."""
    assert find_socket(None) == folder / "connmgr.sock"
    folder.mkdir(mode=0o700)
    with pytest.raises(NoDaemon, match="somebody else made its folder"):
        find_socket(None)
    with pytest.raises(typer.Exit) as refused:
        _make_private(folder)
    assert refused.value.exit_code == 73


@pytest.mark.skipif(Path("/run/connmgr/connmgr.sock").exists(), reason="the system's service is asked then")
def test_a_link_or_an_open_folder_is_not_trusted(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to a folder of ours is not ours, nor is a folder that everybody may write to."""
    user = tmp_path.stat().st_uid
    folder.symlink_to(tmp_path)
    with pytest.raises(NoDaemon):
        find_socket(None)
    folder.unlink()
    folder.mkdir()
    folder.chmod(0o777)
    where = default_socket()
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr("connmgr.cli.client.default_socket", lambda: where)
    with pytest.raises(NoDaemon):
        find_socket(None)
    folder.chmod(0o700)
    assert find_socket(None) == where


def test_words_of_a_daemon_command_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither errors nor JSON hand on what a terminal would obey, C1 controls and changes of direction included."""
    evil = "up\x1b]0;x\x07\x9b31m\u202e"
    fail(f"cannot: {evil}\nsecond line", 1)
    told = capsys.readouterr().err
    document = json_text({"reason": evil}, indent=2)
    assert told == "cannot: up ]0;x  31m \nsecond line\n"
    assert document.replace("\n", "").isprintable()
    assert json.loads(document) == {"reason": evil}
    assert json_text({"unit": "°C"}) == '{"unit": "°C"}'
