"""Log records that are hostile: they stay one short line without a secret, and the next record comes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from connmgr.log_lines import MAX_LINE, Record, Renderer, message, traceback_text
from connmgr.logs import configure, get_logger

SECRET = 'hunter2"ä\\x'


class Log:
    """Logging that is written into a file."""

    def __init__(self, path: Path, log_format: Any, scrub: Callable[[str], str]) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        self.handle = configure(log_format, "debug", scrub, fd=fd)
        os.close(fd)
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
    """Start logging into a file, with SECRET hidden."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logs: list[Log] = []

    def start(log_format: str = "json", scrub: Callable[[str], str] | None = None) -> Log:
        logs.append(Log(tmp_path / "log", log_format, scrub or (lambda text: text.replace(SECRET, "***"))))
        return logs[-1]

    yield start
    for log in logs:
        log.handle.close(10)


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
    for cut in (64, 256, 1024, 3072, 4096, 4096 + 4096):
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


def test_values_cannot_replace_the_record(configured: Configured) -> None:
    """A value called "level" or "event" is renamed and replaces nothing."""
    log = configured()
    get_logger("connmgr.test", level="bound").info("real", event="fake", time=1, logger=2, exception=3)
    record = log.record()
    assert (record["event"], record["level"], record["logger"]) == ("real", "info", "connmgr.test")
    assert (record["event_"], record["level_"], record["time_"]) == ("fake", "bound", 1)


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
