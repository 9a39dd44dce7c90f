"""`connmgr plugins new`: what it writes passes every check at once, and is found once it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.program import connmgr, environment

FILES = {
    "README.md",
    "pyproject.toml",
    "connmgr_my_device/__init__.py",
    "connmgr_my_device/connection.py",
    "connmgr_my_device/py.typed",
    "connmgr_my_device/simulator.py",
    "tests/test_my_device.py",
}


def run(folder: Path, *command: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    found = connmgr("plugins", "new", "my_device", "--directory", tmp_path)
    assert found.returncode == 0, found.stderr
    return tmp_path / "my_device"


def test_what_is_written(tmp_path: Path) -> None:
    """A folder with a project in it, and the next three steps."""
    found = connmgr("plugins", "new", "my_device", cwd=tmp_path)
    assert found.returncode == 0
    folder = tmp_path / "my_device"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == FILES
    assert [line[:4] for line in found.stdout.splitlines()[1:]] == ["  1.", "  2.", "  3."]
    assert not [path for path in folder.rglob("*") if path.is_file() and "$" in path.read_text()]
    assert len((folder / "connmgr_my_device/connection.py").read_text().splitlines()) < 100


@pytest.mark.timeout(180)
def test_its_tests_pass_at_once(project: Path) -> None:
    """`pytest` in the folder passes without installing anything."""
    found = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert found.returncode == 0, found.stdout + found.stderr
    assert " passed" in found.stdout
    assert "skipped" not in found.stdout


@pytest.mark.timeout(120)
def test_it_is_clean(project: Path) -> None:
    """mypy --strict and ruff (its defaults, and its format) have nothing to say."""
    for command in (["mypy", "--strict", "."], ["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        found = run(project, "-m", *command)
        assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.timeout(180)
def test_installed_it_is_a_type_like_the_others(project: Path, tmp_path: Path) -> None:
    """After `pip install` (here into a folder) `plugins`, `check` and `simulate` know it."""
    target = tmp_path / "site"
    command = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--target",
        target,
        ".",
    ]
    found = run(project, *command)
    assert found.returncode == 0, found.stderr
    path = str(target)
    types = json.loads(connmgr("plugins", "my_device", "--json", PYTHONPATH=path).stdout)["types"]
    assert types["my_device"]["origin"] == "connmgr-my-device 0.1.0"
    assert types["my_device"]["simulator"] is True
    assert [option["key"] for option in types["my_device"]["options"]] == ["host", "port", "timeout"]
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"connections": {"x": {"type": "my_device", "config": {"host": "127.0.0.1"}}}}))
    assert connmgr("check", file, PYTHONPATH=path).returncode == 0
    assert (target / "connmgr_my_device/py.typed").exists()
    again = connmgr("plugins", "new", "my_device", "--directory", tmp_path / "other", PYTHONPATH=path)
    assert again.returncode == 1
    assert "from connmgr-my-device 0.1.0" in again.stderr


BAD = ["", "My", "1a", "a-b", "a b", "../x", "/x", "class", "a_", "a__b", "x" * 41, "ä", "a.b", "s7", "new\n"]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_will_not_do(tmp_path: Path, name: str) -> None:
    """1, the reason and an example; nothing is written."""
    found = connmgr("plugins", "new", name, "--directory", tmp_path / "x")
    assert found.returncode == 1
    assert "cannot call a plugin" in found.stderr
    assert found.stdout == ""
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists(tmp_path: Path) -> None:
    """1, and what is there stays as it is; also a file or a dangling link of that name."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("mine", "file", "link"):
        found = connmgr("plugins", "new", name, "--directory", tmp_path)
        assert found.returncode == 1
        assert "it exists" in found.stderr
    found = connmgr("plugins", "new", "x", "--directory", tmp_path / "file")
    assert found.returncode == 1
    assert "cannot write" in found.stderr
    assert not list((tmp_path / "mine").iterdir())
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "link").readlink() == Path("nowhere")
