"""Configuration files: which ones are read, and how large ones."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from connmgr.config import Config, ConfigProblems
from tests.unit.config_types import SEED, one, problems, read, read_file


def _written(path: Path, text: str = SEED, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def _told(path: Path) -> str:
    with pytest.raises(ConfigProblems) as caught:
        read_file(path)
    (problem,) = caught.value.problems
    assert problem.place.line is None
    return str(problem)


def test_a_file_is_read_where_it_is(tmp_path: Path) -> None:
    """Also through a link, with secrets beside it."""
    (tmp_path / "pw").write_text("hunter2!\n")
    path = _written(tmp_path / "c.json", one('{"host": "h", "password": {"$file": "pw"}}'))
    (tmp_path / "link.json").symlink_to(path)
    config = read_file(tmp_path / "link.json")
    assert isinstance(config, Config)
    assert config.path == tmp_path / "link.json"
    assert config.connections["a"].config["password"] == "hunter2!"


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """At once and with a remedy: missing, a directory, a pipe, a device, too large, open to everybody."""
    path = tmp_path / "c.json"
    start = f"{path}: cannot read the configuration: "
    assert _told(path) == start + "there is no such file; check the path"
    os.mkfifo(path)
    assert _told(path) == start + "it is a pipe; a regular file is expected"
    path.unlink()
    path.mkdir()
    assert _told(path) == start + "it is a directory; a regular file is expected"
    path.rmdir()
    path.symlink_to("/dev/zero")
    assert _told(path) == start + "it is a device; a regular file is expected"
    path.unlink()
    assert _told(_written(path, mode=0o646)) == start + f"everybody on this machine can change it; chmod o-w {path}"
    path.chmod(0o600)
    os.truncate(path, 100 << 20)
    assert _told(path) == start + "larger than 8 MB; is it the right file?"


def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    """With the user in the remedy, not the mode."""
    path = _written(tmp_path / "c.json", mode=0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything, nobody may not
    try:
        told = _told(path)
    finally:
        os.seteuid(user)
    assert "permission denied; make it readable for the user" in told


def test_a_secret_in_a_file_for_all_is_a_warning(tmp_path: Path) -> None:
    """It works, and is said."""
    text = one('{"host": "h", "password": "hunter2!"}')
    (warning,) = read_file(_written(tmp_path / "c.json", text)).warnings
    assert str(warning).startswith(f"{tmp_path}/c.json connections.a.config: a secret is written out")
    assert "hunter2" not in str(warning)
    assert read_file(_written(tmp_path / "c.json", text, 0o640)).warnings == ()
    assert read_file(_written(tmp_path / "c.json")).warnings == ()


def _many(count: int, port: int) -> str:
    config = {"port": port, "password": "secret", "auto_reconnect": True}
    entries: dict[str, Any] = {
        f"c{n}": {
            "type": "tcp",
            "name": f"N {n}",
            "config": {"host": f"h{n}", **config},
            "settings": {"stable_after": 5},
        }
        for n in range(count)
    }
    return json.dumps({"connections": entries}, indent=1)


def test_ten_thousand_connections_are_read_in_a_second_or_two() -> None:
    """Measured: 0.9 s right, 1.9 s with a problem each, on an idle machine."""
    started = time.process_time()
    assert len(read(_many(10_000, 502)).connections) == 10_000
    assert len(problems(_many(10_000, 70_000))) == 10_000
    assert time.process_time() - started < 20


def test_a_file_of_nothing_but_mistakes_is_cut_short() -> None:
    """Nobody reads more than a thousand problems of one section."""
    text = json.dumps({"connections": {}, **{f"x{n}": 1 for n in range(50_000)}})
    told = problems(text)
    assert len(told) == 1001
    assert told[0] == "f.json:1:1: 49000 more problems below this; is it the right file?"
