"""Plugins that attack the process they run in, each in a process of its own beside an honest neighbour."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("hostile.py")


def run(deed: str, how: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([sys.executable, PROGRAM, deed, how], capture_output=True, text=True, timeout=25, check=False)
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    return done.returncode, json.loads(last) if last.startswith("{") else {}


@pytest.mark.parametrize("how", ["async", "plain"])
@pytest.mark.parametrize(
    ("deed", "status", "reason"),
    [
        ("sys.exit", "error", "SystemExit: 0"),
        ("recursion", "error", "RecursionError"),
        ("memory", "error", "MemoryError"),
        ("chdir, umask", "connected", None),
        ("logging.disable", "connected", None),
        ("close stdout", "connected", None),
        ("gc.disable", "connected", None),
        ("setrecursionlimit", None, None),
        ("shout", "connected", None),
        ("set_event_loop", "connected", None),
    ],
)
def test_what_hurts_nobody(deed: str, how: str, status: str | None, reason: str | None) -> None:
    """The honest neighbour is checked on time, the process ends as it should, and the reason is told."""
    code, found = run(deed, how)
    assert code == 0
    assert found["honest"] == ["connected", None]
    assert found["checks"] >= 20
    if status is not None:
        assert found["hostile"][0] == status
    if reason is not None:
        assert reason in found["hostile"][1]


@pytest.mark.parametrize(
    ("deed", "how", "status", "reason"),
    [
        ("cancel current task", "async", "error", "cancelled though nobody had cancelled it"),
        ("leak", "async", "connected", None),
        ("close loop", "async", "error", "Cannot close a running event loop"),
        ("asyncio.run", "async", "error", "cannot be called from a running event loop"),
        ("asyncio.run", "plain", "connected", None),
        ("slow_callback_duration", "async", "connected", None),
        ("ignore SIGTERM", "async", "connected", None),
        ("ignore SIGTERM", "plain", "error", "signal only works in main thread"),
        ("never return", "plain", "error", "connect() did not end within 0.3 s"),
    ],
)
def test_what_only_one_kind_can_do(deed: str, how: str, status: str, reason: str | None) -> None:
    """The same for deeds that need the loop, or a thread."""
    code, found = run(deed, how)
    assert code == 0
    assert found["honest"] == ["connected", None]
    assert found["checks"] >= 20
    assert found["hostile"][0] == status
    assert reason is None or reason in found["hostile"][1]
    assert found["stuck"] == ("connect" if deed == "never return" else None)


@pytest.mark.parametrize("deed", ["block", "spin"])
def test_what_a_thread_contains(deed: str) -> None:
    """Blocking or spinning in a plain method leaves the neighbour's checks going."""
    code, found = run(deed, "plain")
    assert code == 0
    assert found["honest"] == ["connected", None]
    assert found["gap"] < 0.5


@pytest.mark.parametrize("deed", ["block", "spin"])
def test_what_delays_everybody(deed: str) -> None:
    """An async method that blocks holds up the whole loop: only a process of its own could contain that."""
    code, found = run(deed, "async")
    assert code == 0
    assert found["checks"] <= 5 or found["gap"] > 1


@pytest.mark.parametrize(
    ("deed", "code"), [("stop loop", 1), ("os._exit", 7), ("crash", -11), ("patch asyncio.sleep", None)]
)
def test_what_ends_the_process(deed: str, code: int | None) -> None:
    """These end the daemon, or leave it in an undefined state; the service manager starts it again."""
    ended, found = run(deed, "async")
    assert ended == code if code is not None else ended in (0, 1)
    assert code is None or not found
