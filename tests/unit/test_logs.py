"""Log lines: safe whatever is logged, and where they go."""

from __future__ import annotations

import asyncio
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

from connmgr.log_lines import MAX_LINE, Record, Renderer, message, traceback_text
from connmgr.logs import LogHandle, configure, get_logger

SECRET = 'hunter2"ä\\x'


def scrub(text: str) -> str:
    """Hide SECRET."""
    return text.replace(SECRET, "***")


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

    def start(log_format: Any = "json", level: int | str = "debug", **options: Any) -> Log:
        handles.append(configure(log_format, level, options.pop("scrub", scrub), fd=fd, **options))
        return Log(handles[-1], path)

    yield start
    for handle in handles:
        handle.close(10)
    os.close(fd)


class Evil:
    """An object that refuses to be shown."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error

    __repr__ = __str__


HOSTILE: dict[str, object] = {
    "raises": Evil(ValueError("no")),
    "exits": Evil(SystemExit(3)),
    "is cancelled": Evil(asyncio.CancelledError()),
    "is huge": "x" * 10_000_000,
    "has huge bytes": b"x" * 10_000_000,
    "has a huge number": 10**5000,
    "is all control characters": "\x00" * 100_000,
    "is a million items": list(range(1_000_000)),
    "is deep": [[[[[[[["bottom"]]]]]]]],
    "has a lone surrogate": "\udc80",
    "is not a number": float("nan"),
    "is infinite": float("-inf"),
    "has odd keys": {Evil(ValueError("no")): 1, 2: 3, "k" * 100_000: 4},
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_hostile_value(configured: Configured, log_format: str, value: object) -> None:
    """A value that raises, is huge or is odd costs at most its own text: the line comes, short, and so do the next."""
    log = configured(log_format)
    logger = get_logger("connmgr.test", connection="press")
    logger.info("as a value", value=value)
    logger.info("as an argument %s", value)
    logger.info(value)
    logger.bind(bound=value).info("bound")
    logger.error("as an error", exc_info=RuntimeError(value))
    logging.getLogger("aiohttp.server").error("foreign %s", value)
    logging.getLogger("aiohttp.server").error(value)
    logger.info("last")
    lines = log.text().split("\n")[:-1]
    assert all(len(line.encode()) < MAX_LINE for line in lines)
    assert "last" in lines[-1]
    if log_format == "json":
        assert len([json.loads(line) for line in lines]) == 8


def test_cut_says_so(configured: Configured) -> None:
    """A text that is too long is cut, and the line says how long it was."""
    log = configured()
    get_logger("connmgr.test").info("long", answer="x" * 10_000_000, next="y")
    record = log.record()
    assert record["answer"].endswith("… (cut, 10000000 characters)")
    assert record["next"] == "y"


def test_too_many_values(configured: Configured) -> None:
    """A record with thousands of values keeps its event and says that there were more."""
    log = configured()
    logger = get_logger("connmgr.test", connection="press")
    logger.info("many", **{f"key{n}": n for n in range(5000)})
    logger.info("many and long", **{f"key{n}": "ü" * 500 for n in range(5000)})
    short, long = log.records()
    assert (short["event"], short["connection"], short["key62"], short["…"]) == ("many", "press", 62, "4937 more")
    assert (long["event"], long["connection"], long["cut"]) == ("many and long", "press", "all other values")


def test_a_cut_in_the_middle_keeps_both_ends_of_a_traceback(configured: Configured) -> None:
    """A long traceback still says where it began and, at its end, what was raised."""

    def deep(levels: int) -> None:
        if levels:
            (deep if levels % 2 else also_deep)(levels - 1)
        else:
            raise ValueError("the end of it")

    def also_deep(levels: int) -> None:  # two functions in turn, because one that repeats is folded by Python itself
        deep(levels)

    log = configured()
    try:
        deep(200)
    except ValueError:
        get_logger("connmgr.test").exception("deep")
    text = log.record()["exception"]
    assert text.startswith("Traceback (most recent call last)")
    assert text.endswith("ValueError: the end of it")
    assert len(text) < MAX_LINE


FORGED = "ok\n2026-11-21T00:00:00.000Z error    forged\r\x1b[2J\x9b2J\u2028x\u202ey\x85z"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_forged_line(configured: Configured, log_format: str) -> None:
    """No text, wherever it stands, can begin a line of its own or speak to the terminal."""
    log = configured(log_format)
    logger = get_logger("connmgr.test", connection=FORGED)
    logger.info(FORGED, value=FORGED, **{FORGED: 1})
    logger.error("error", exc_info=ValueError(FORGED))
    logging.getLogger(FORGED).error("foreign %s", FORGED)
    text = log.text()
    assert text.count("\n2026-11-21T00:00:00.000Z error    forged") == 0
    assert not set(text) & set("\r\x1b\x9b\u2028\u202e\x85")
    if log_format == "json":
        assert [json.loads(line)["level"] for line in text.splitlines()] == ["info", "error", "error"]
    else:
        assert len([line for line in text.splitlines() if not line.startswith("    | ")]) == 3


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret(configured: Configured, log_format: str) -> None:
    """A secret is hidden wherever it stands, although rendering escapes some of its characters."""
    log = configured(log_format)
    logger = get_logger("connmgr.test", bound=SECRET)
    event = f"event {SECRET}"
    logger.info(event, value=SECRET, nested={"list": [SECRET], SECRET: SECRET}, raw=SECRET.encode())
    logger.info("argument %s", SECRET)
    logger.info("error", error=ValueError(SECRET))
    logger.error("raised", exc_info=ValueError(SECRET))
    logging.getLogger("asyncio").error("foreign %s", SECRET, exc_info=ValueError(SECRET))
    warnings.showwarning(UserWarning(SECRET), UserWarning, "file.py", 1)
    text = log.text()
    assert "hunter2" not in text
    assert text.count("***") >= 11


@pytest.mark.parametrize("offset", range(-30, 30, 3))
def test_no_half_secret_at_a_cut(configured: Configured, offset: int) -> None:
    """Where a text is cut, a secret that lies across the cut does not show its first half."""
    log = configured()
    for cut in (64, 256, 1024, 4096, 4096 + 4096):
        get_logger("connmgr.test").info("x", text="x" * (cut + offset) + SECRET + "x" * 50_000)
        get_logger("connmgr.test").error("x", exc_info=ValueError("y" * (cut + offset) + SECRET + "x" * 50_000))
        get_logger("connmgr.test").error("x", exc_info=ValueError("y" * 50_000 + SECRET + "x" * (cut + offset)))
    text = log.text()
    assert "h…" not in text
    for part in ("hunt", "unter", "nter2", "ter2\\"):
        assert part not in text


def test_number_that_is_a_secret(configured: Configured) -> None:
    """A PIN is hidden as a number too, and the line stays JSON."""
    log = configured(scrub=lambda text: text.replace("48151", "***"))
    get_logger("connmgr.test").info("pin", pin=48151)
    assert log.record()["pin"] == "***"


@pytest.mark.parametrize("answer", [None, 3, "raise", '"'])
def test_scrub_that_fails_shows_nothing(configured: Configured, answer: Any) -> None:
    """When secrets cannot be removed, the record is withheld and the log says so."""

    def broken(_text: str) -> Any:
        if answer == "raise":
            raise RuntimeError(SECRET)
        return answer

    log = configured(scrub=broken)
    get_logger("connmgr.test").info("event hunter2")
    record = log.record()
    assert "withheld" in record["event"]
    assert "hunter2" not in str(record)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_local_variables(configured: Configured, log_format: str) -> None:
    """A traceback never shows a local variable, of whichever logger and however the error is given."""

    def login() -> None:
        password = "swordfish-%d" % len("x")  # noqa: UP031 - put together, so that the source line does not show it
        raise ValueError(len(password))

    log = configured(log_format, scrub=str)
    try:
        login()
    except ValueError as error:
        get_logger("connmgr.test").exception("ours")
        get_logger("connmgr.test").error("given", exc_info=error)
        get_logger("connmgr.test").error("tuple", exc_info=sys.exc_info())
        structlog.get_logger("plugin").exception("structlog's")
        logging.getLogger("asyncio").exception("foreign")
        sys.excepthook(type(error), error, error.__traceback__)
    text = log.text()
    assert text.count("in login") == 6
    assert "swordfish-1" not in text


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


def test_values_cannot_replace_the_record(configured: Configured) -> None:
    """A value called "level" or "event" is renamed and replaces nothing."""
    log = configured()
    get_logger("connmgr.test", level="bound").info("real", event="fake", time=1, logger=2, exception=3)
    record = log.record()
    assert (record["event"], record["level"], record["logger"]) == ("real", "info", "connmgr.test")
    assert (record["event_"], record["level_"], record["time_"]) == ("fake", "bound", 1)


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
    structlog.get_logger().info("unnamed", value=Evil(ValueError()))
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
        get_logger("connmgr.test", connection="press").info("link %s", "lost", value=Evil(ValueError()))
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


def test_a_logger_that_logs_while_it_is_shown(configured: Configured) -> None:
    """An object that logs itself whenever it is shown ends as a record, not as a crash."""

    class Recursive:
        def __str__(self) -> str:
            get_logger("connmgr.test").info("shown", me=self)
            return "me"

    log = configured()
    get_logger("connmgr.test").info("begin", me=Recursive())
    get_logger("connmgr.test").info("last")
    assert log.records()[-1]["event"] == "last"


def test_chains_and_groups() -> None:
    """Causes and groups are shown; an endless or cyclic chain is cut instead of walked."""
    group = ExceptionGroup("both", [ValueError("left"), OSError("right")])
    assert "left" in traceback_text(group)
    assert "right" in traceback_text(group)

    cyclic = ValueError("a")
    cyclic.__cause__ = TypeError("b")
    cyclic.__cause__.__cause__ = cyclic
    assert traceback_text(cyclic).endswith("ValueError: a")

    last = ValueError("first of many")
    for number in range(100_000):
        error = ValueError(str(number))
        error.__cause__ = last
        last = error
    text = traceback_text(last)
    assert text == "(more than 20 chained exceptions; the last one:)\nValueError: 99999"
    while last.__cause__ is not None:  # freeing a chain this long recursively would overflow the C stack
        last, last.__cause__ = last.__cause__, None  # type: ignore[assignment]


def test_message_never_raises() -> None:
    """Arguments that do not fit the text are named instead."""
    assert message("%d %s", (1, "x")) == "1 x"
    assert message("%(a)s", ({"a": 1},)) == "1"
    assert message("100%", ()) == "100%"
    assert message("%d", ("x",)) == "%d (arguments cannot be shown: TypeError)"
    assert message("only %s", (1, 2)) == "only %s (arguments cannot be shown: TypeError)"


def test_renderer_never_raises_on_an_impossible_record() -> None:
    """Even a record whose very fields are wrong ends as a line."""
    line = Renderer("json", str).render(Record(1e300, 20, "x", "event"))
    assert json.loads(line)["time"] == "(no such time)"
