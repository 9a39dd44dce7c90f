"""For every test, also the plugins' and the examples': nothing is left behind, and nothing is left out silently.

A test that ends with a task still running, or leaves a thread or a file descriptor behind, fails. What really must
be left says so: `@pytest.mark.leaves_behind("why")`. A test that runs another program names it:
`@pytest.mark.needs("socat")`.
"""

from __future__ import annotations

import asyncio
import asyncio.runners
import gc
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SETTLE = 1.0  # seconds that threads and sockets get to end after the test; a clean test waits for none of it
TASK_SETTLE = 0.25  # the same for tasks, in the time of their own loop (which may be virtual)


def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = {command for marker in item.iter_markers("needs") for command in marker.args}
    missing = sorted(command for command in needed if shutil.which(command) is None)
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (`make test` as root installs it)")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With CI=true a test that was left out, for whatever reason, is a failure."""
    if os.environ.get("CI") == "true" and _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say loudly what was left out."""
    reports = _skipped(config)
    if reports:
        failed = " and CI=true: this is a failure" if os.environ.get("CI") == "true" else ""
        terminalreporter.section(f"LEFT OUT on this machine{failed}", sep="!", red=True, bold=True)
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        terminalreporter.line(f"{report.nodeid}: {reason}")


def _skipped(config: pytest.Config) -> list[pytest.TestReport]:
    reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    return [] if reporter is None else reporter.stats.get("skipped", [])


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves a task, a thread or a file descriptor behind."""
    if request.node.get_closest_marker("leaves_behind"):
        yield
        return
    tasks: list[str] = []
    _watch_loops(monkeypatch, tasks)
    threads, descriptors = set(threading.enumerate()), _descriptors()

    yield

    def leaks() -> list[str]:
        new_threads = [thread for thread in threading.enumerate() if thread not in threads and thread.is_alive()]
        return [f"thread {thread.name}" for thread in new_threads] + [
            f"{count} x file descriptor {target}" for target, count in (_descriptors() - descriptors).items()
        ]

    found = tasks + _settled(leaks)
    if found:
        pytest.fail("the test left behind: " + "; ".join(found), pytrace=False)


def _watch_loops(monkeypatch: pytest.MonkeyPatch, tasks: list[str]) -> None:
    """Note the tasks that are still running when a loop is about to be closed, which would cancel them silently.

    asyncio.run, asyncio.Runner, pytest-asyncio and our virtual-time loop all end in this one function. It is private
    to asyncio; should it ever go, every test says so at once.
    """
    cancel_all = asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined]

    def note_then_cancel(loop: asyncio.AbstractEventLoop) -> None:
        pending = asyncio.all_tasks(loop)
        if pending:
            _, pending = loop.run_until_complete(asyncio.wait(pending, timeout=TASK_SETTLE))
        tasks.extend(f"task {task.get_name()} in {_where(task)}" for task in pending)
        cancel_all(loop)

    monkeypatch.setattr(asyncio.runners, "_cancel_all_tasks", note_then_cancel)


def _where(task: asyncio.Task[object]) -> str:
    frames = task.get_stack(limit=1)
    return f"{Path(frames[0].f_code.co_filename).name}:{frames[0].f_lineno}" if frames else repr(task.get_coro())


def _descriptors() -> Counter[str]:
    """What the process has open, by target: a socket's or pipe's number is unique, a file counts per opening."""
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        try:
            found[os.readlink(f"/proc/self/fd/{name}")] += 1
        except OSError:
            continue  # the descriptor of the listing itself
    return found


def _settled(leaks: Callable[[], list[str]]) -> list[str]:
    """What `leaks` still finds after a fair wait; what only waits for the garbage collector is not a leak."""
    found = leaks()
    deadline = time.monotonic() + SETTLE
    if found:
        gc.collect()
    while found and time.monotonic() < deadline:
        time.sleep(0.01)
        found = leaks()
    return found
