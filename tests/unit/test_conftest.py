"""The guards of conftest.py catch what they are there for: each leak below was put in on purpose."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

LEAKS = """
import asyncio, os, socket, threading
import pytest

kept, ended = [], threading.Event()

async def test_task():
    asyncio.create_task(asyncio.sleep(30), name="lost-task")

def test_task_of_a_loop_of_its_own():
    async def main():
        asyncio.create_task(asyncio.sleep(30), name="lost-too")
    asyncio.run(main())

def test_thread():
    threading.Thread(target=ended.wait, daemon=True, name="lost-thread").start()

def test_socket():
    kept.append(socket.socket())

@pytest.mark.leaves_behind("the marker allows it")
def test_said_so():
    kept.append(os.pipe())

@pytest.fixture
async def task():
    task = asyncio.create_task(asyncio.sleep(30))
    yield
    task.cancel()

@pytest.fixture(scope="module")
def listener():
    with socket.socket() as sock:
        yield sock

async def test_clean(task, listener):
    asyncio.create_task(asyncio.sleep(0.01))
    await asyncio.to_thread(int)

@pytest.mark.needs("no-such-program")
def test_needs():
    raise AssertionError("must not run")
"""


def run(folder: Path, *arguments: str, ci: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "test_leaks.py").write_text(LEAKS)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\nmarkers =\n    needs\n    leaves_behind\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, str(folder)]
    environ = {**os.environ, "CI": ci}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_leaks_fail(tmp_path: Path) -> None:
    """A task, a thread, a socket left behind each fail their test; fixtures, tasks that end, marked tests do not."""
    result = run(tmp_path, "-o", "console_output_style=classic", ci="false")
    assert "lost-task" in result.stdout
    assert "lost-too" in result.stdout
    assert "thread lost-thread" in result.stdout
    assert "file descriptor socket:" in result.stdout
    assert "6 passed, 1 skipped, 4 errors" in result.stdout, result.stdout + result.stderr


def test_left_out_is_loud(tmp_path: Path) -> None:
    """A program that is missing leaves its tests out with a banner; with CI=true the run fails."""
    by_hand, in_ci = (run(tmp_path, "-k", "clean or needs", ci=ci) for ci in ("false", "true"))
    assert by_hand.returncode == 0
    assert "LEFT OUT" in by_hand.stdout
    assert "no-such-program not installed" in by_hand.stdout
    assert in_ci.returncode == 1
    assert "this is a failure" in in_ci.stdout
