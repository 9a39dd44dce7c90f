"""Where log records come from and go to, in which format, and that all of it can be undone."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import structlog

from connmgr.logs import LogHandle, configure, get_logger


class Unshowable:
    """An object whose text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no")

    __repr__ = __str__


class Log:
    """What `configure` wrote into a file."""

    def __init__(self, handle: LogHandle, path: Path) -> None:
        self.handle = handle
        self._path = path

    def text(self) -> str:
        """Close the log and return all of it."""
        assert self.handle.close(10) == 0
        return self._path.read_text("utf-8")

    def records(self) -> list[dict[str, Any]]:
        """Close the log and return one object a line."""
        return [json.loads(line) for line in self.text().split("\n")[:-1]]

    def record(self) -> dict[str, Any]:
        """Close the log and return its only record."""
        (record,) = self.records()
        return record


Configured = Callable[..., Log]


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configured]:
    """`configure`, writing into a file."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    handles = []

    def start(log_format: Any = "json", level: int | str = "debug") -> Log:
        handles.append(configure(log_format, level, str, fd=fd))
        return Log(handles[-1], path)

    yield start
    for handle in handles:
        handle.close(10)
    os.close(fd)


def test_json_keys_in_order(configured: Configured) -> None:
    """A JSON record begins with time, level, event, connection, logger, in this order, the time in UTC."""
    log = configured()
    get_logger("connmgr.test", shift=2, connection="press").warning("link lost", reason="no answer", after=1.5)
    record = log.record()
    assert list(record) == ["time", "level", "event", "connection", "logger", "shift", "reason", "after"]
    assert record["time"].endswith("Z")
    assert len(record["time"]) == len("2026-11-21T02:36:05.355Z")
    assert record["level"] == "warning"
    assert record["after"] == 1.5


def test_console_line(configured: Configured) -> None:
    """On the console a record is a readable line without colours (this is a file), its connection in front."""
    log = configured("console")
    get_logger("connmgr.test", connection="press").warning("link lost", reason="no answer", attempt=3)
    logging.getLogger("aiohttp.server").error("bad request")
    first, second = log.text().splitlines()
    assert first[24:] == ' warning  [press] link lost reason="no answer" attempt=3'
    assert second[24:] == " error    bad request logger=aiohttp.server"


class Colour(Enum):
    """Some enumeration."""

    RED = "red"


def test_values_as_people_expect(configured: Configured) -> None:
    """Enumerations, paths, errors, bytes, sets and tuples come as their plain text or list."""
    log = configured()
    get_logger("connmgr.test").info(
        "x", a=Colour.RED, b=Path("/dev/ttyS0"), c=OSError(111, "refused"), d=b"\x01\xff", e=(1, None), f={True}
    )
    record = log.record()
    assert [record[key] for key in "abcdef"] == [
        "red",
        "/dev/ttyS0",
        "ConnectionRefusedError: [Errno 111] refused",
        "b'\\x01\\xff'",
        [1, None],
        [True],
    ]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_journal_priorities(configured: Configured, monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    """Under the journal every physical line begins with its syslog priority."""
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    log = configured(log_format)
    logger = get_logger("connmgr.test")
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(logger, level)("x")
    logger.error("raised", exc_info=ValueError("one\ntwo"))
    lines = log.text().splitlines()
    assert [line[:3] for line in lines[:6]] == ["<7>", "<6>", "<4>", "<3>", "<2>", "<3>"]
    assert all(line.startswith("<3>") for line in lines[5:])


def test_default_format(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is the console's format, but JSON under the journal."""
    assert configured(None).handle.format == "console"
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    assert configured(None).handle.format == "json"


def test_terminal_has_colours_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets colours and no priorities even where the journal's variable is inherited; NO_COLOR is heeded."""
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    master, slave = os.openpty()
    try:
        for no_color, expected in (("", True), ("1", False)):
            monkeypatch.setenv("NO_COLOR", no_color)
            handle = configure(fd=slave)
            get_logger("connmgr.test").info("hello", key=1)
            assert handle.close(10) == 0
            shown = os.read(master, 4096)
            assert (b"\x1b[" in shown) is expected
            assert b"<6>" not in shown
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(("log_format", "level"), [("xml", "info"), ("json", "loud")])
def test_bad_choice(log_format: Any, level: str) -> None:
    """A format or level that does not exist is refused with what there is, and changes nothing."""
    handlers = logging.getLogger().handlers
    with pytest.raises(ValueError, match=r"cannot log .*: choose"):
        configure(log_format, level)
    assert logging.getLogger().handlers is handlers


def test_levels(configured: Configured) -> None:
    """Our level is the one asked for; libraries begin at WARNING, the noisy ones at CRITICAL."""
    log = configured(level="info")
    get_logger("connmgr.test").debug("ours no")
    get_logger("connmgr.test").info("ours")
    logging.getLogger("connmgr.plugin").info("ours in the old way")
    logging.getLogger("some.library").info("library no")
    logging.getLogger("some.library").warning("library")
    logging.getLogger("pymodbus.logging").error("noisy no")
    logging.getLogger("snap7.client").error("noisy no")
    logging.getLogger("pymodbus.logging").critical("noisy")
    assert [record["event"] for record in log.records()] == ["ours", "ours in the old way", "library", "noisy"]


def test_contextvars_and_structlog(configured: Configured) -> None:
    """A plugin author's `structlog.get_logger()` and context variables come out like ours, `bind` and `%` included."""
    log = configured()
    with structlog.contextvars.bound_contextvars(request=7):
        structlog.get_logger("plugin").bind(a=1).warning("hello %s", "there")
        logging.getLogger("foreign").warning("foreign")
        get_logger("connmgr.test").info("ours")
    structlog.get_logger().info("unnamed", value=Unshowable())
    hello, foreign, ours, unnamed = log.records()
    assert (hello["event"], hello["logger"], hello["a"]) == ("hello there", "plugin", 1)
    assert hello["request"] == foreign["request"] == ours["request"] == 7
    assert unnamed["logger"] == "structlog"


def test_capture_logs(configured: Configured) -> None:
    """structlog's own way of testing logs works on our loggers, configured or not."""
    with structlog.testing.capture_logs() as captured:
        get_logger("connmgr.test", connection="press").warning("before", n=1)
    log = configured()
    with structlog.testing.capture_logs() as captured_after:
        get_logger("connmgr.test", connection="press").warning("after", n=1)
    assert captured == [{"event": "before", "connection": "press", "n": 1, "log_level": "warning"}]
    assert captured_after == [{"event": "after", "connection": "press", "n": 1, "log_level": "warning"}]
    assert log.records() == []


def test_unconfigured_goes_to_the_standard_library(caplog: pytest.LogCaptureFixture) -> None:
    """In an embedding program that set up nothing of ours, records go to its logging under their own names."""
    structlog.reset_defaults()
    with caplog.at_level(logging.INFO):
        get_logger("connmgr.test", connection="press").info("link %s", "lost", value=Unshowable())
        get_logger("connmgr.test").debug("not this")
        get_logger("connmgr.test").error("raised", exc_info=ValueError("why"))
    first, second = caplog.records
    assert first.name == "connmgr.test"
    assert first.getMessage().startswith("link lost connection='press' value=")
    assert first.funcName == "test_unconfigured_goes_to_the_standard_library"
    assert second.exc_info is not None


def test_sabotage_does_not_silence(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that disables logging, strips the root logger or closes standard error does not silence us."""
    log = configured()
    logging.disable(logging.CRITICAL)
    try:
        logging.getLogger().handlers = []
        monkeypatch.setattr(sys, "stderr", None)
        get_logger("connmgr.test").info("still here")
    finally:
        logging.disable(logging.NOTSET)
    assert log.record()["event"] == "still here"


def test_uncaught_errors_are_logged(configured: Configured) -> None:
    """An error nobody caught in a thread or a `__del__`, and a warning, become records of their own."""

    class Leaves:
        def __del__(self) -> None:
            raise ValueError("in a destructor")

    def fail() -> None:
        raise ValueError("in a thread")

    log = configured()
    thread = threading.Thread(target=fail, name="connmgr[press].worker")
    thread.start()
    thread.join()
    Leaves()
    warnings.showwarning("careful", UserWarning, "file.py", 3)
    in_thread, in_del, warned = log.records()
    assert in_thread["thread"] == "connmgr[press].worker"
    assert in_thread["exception"].endswith("ValueError: in a thread")
    assert in_del["exception"].endswith("ValueError: in a destructor")
    assert (warned["event"], warned["where"]) == ("careful", "file.py:3")


def test_close_puts_everything_back(configured: Configured) -> None:
    """After `close` the process logs as it did before, and a second `close` changes nothing."""

    def state() -> list[object]:
        root = logging.getLogger()
        names = ("", "connmgr", "pymodbus", "snap7", "aiohttp.access")
        hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning)
        return [list(root.handlers), [logging.getLogger(n).level for n in names], hooks, structlog.is_configured()]

    structlog.reset_defaults()
    before = state()
    log = configured()
    assert state() != before
    assert log.handle.close(10) == 0
    assert state() == before
    assert log.handle.close(10) == 0
    assert "connmgr.log" not in [thread.name for thread in threading.enumerate()]


def test_configure_again_replaces(configured: Configured) -> None:
    """A second `configure` ends the first: a record is written once, in the new format."""
    first = configured("console")
    second = configured("json")
    get_logger("connmgr.test").info("once")
    assert first.handle.close(10) == 0
    get_logger("connmgr.test").info("twice")
    assert [record["event"] for record in second.records()] == ["once", "twice"]
