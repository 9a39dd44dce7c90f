"""The two commands a newcomer types, as far as they can be tried without building an environment inside of one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))}
    return subprocess.run(
        command, cwd=ROOT, env=clean | environ, capture_output=True, text=True, timeout=25, check=False
    )


def test_help_lists_every_target() -> None:
    """`make` alone explains the targets that the documents promise."""
    listed = {line.split()[0] for line in run("make").stdout.splitlines() if line.startswith("  ")}
    assert {"demo", "test", "lint", "bench", "help"} <= listed


def test_ci_runs_what_people_run() -> None:
    """.ci/run is `make test` and nothing less, with CI=true."""
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert "make test" in lines
    assert "export CI=true" in lines


@pytest.mark.parametrize("python", ["/bin/false", "/nonexistent/python3"])
def test_a_python_that_will_not_do(tmp_path: Path, python: str) -> None:
    """A wrong PYTHON is refused by name before anything is made."""
    result = run(".ci/setup", "venv", "constraints.txt", PYTHON=python, VENV=str(tmp_path / "venv"))
    assert result.returncode != 0
    assert f"cannot use PYTHON={python}" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_no_python_at_all(tmp_path: Path) -> None:
    """Without Python 3.11 the message names what to install."""
    for name in ("bash", "env", "dirname", "mktemp", "rm"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    result = run("/bin/bash", ".ci/setup", "venv", "constraints.txt", PATH=str(tmp_path), VENV=str(tmp_path / "venv"))
    assert result.returncode != 0
    assert "apt-get install python3 python3-venv" in result.stderr


def test_a_program_that_is_missing_fails_in_ci(tmp_path: Path) -> None:
    """Where a program for tests is missing and cannot be installed: a banner for people, a failure with CI=true."""
    for name in ("bash", "env", "dirname", "mktemp", "rm", "id"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    by_hand, in_ci = (run("/bin/bash", ".ci/setup", "packages", PATH=str(tmp_path), CI=ci) for ci in ("", "true"))
    assert by_hand.returncode == 0
    assert "LEFT OUT" in by_hand.stdout
    assert "apt-get install socat" in by_hand.stdout
    assert in_ci.returncode != 0
    assert "nothing may be left out" in in_ci.stderr
