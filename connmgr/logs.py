"""Logging: every record of the process, ours or a library's, as one safe line on standard error.

`get_logger` gives a logger in structlog's manner (an event and named values, `bind`), cheap enough to have one for
each of 10,000 connections. Where its records go is decided at each call:

- after `configure` (the daemon, the CLI) through structlog's processors to standard error, in the format chosen;
- else where the embedding program's structlog sends them, if it configured that;
- else to the standard library's logger of the same name.

`configure` also takes over the standard library's root logger, structlog's own `get_logger`, warnings, and errors
nobody caught in a thread or a `__del__`. Rendering happens in the caller's thread, so that a record shows what was true
when it was made and no frame or socket is kept alive in a queue; writing happens in another thread (see log_writer),
so no record ever waits for standard error.

Libraries are heard from WARNING on. `QUIET_LIBRARIES` are the exceptions, with the reason for each.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from connmgr.log_lines import LogFormat, Record, Renderer, Scrub, message
from connmgr.log_takeover import take_over_hooks, take_over_stdlib, take_over_structlog
from connmgr.log_writer import LineWriter

QUIET_LIBRARIES: Mapping[str, int] = {
    # One ERROR for each attempt that fails, each frame that is garbled, each answer that is late. The supervisor tells
    # the same story once, on the edge, with the connection's name.
    "pymodbus": logging.CRITICAL,
    # Warns and logs errors for each reconnection and each refused request; the same reason.
    "snap7": logging.CRITICAL,
    # One INFO line for each request of a dashboard that asks every second.
    "aiohttp.access": logging.ERROR,
}
"""Libraries that are heard less than others, by logger name; their children follow."""

_EXIT_TIMEOUT = 2.0  # seconds a process may stay for a standard error that does not take the last lines

_METHODS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "critical",
}


class Logger:
    """Says events with named values; never raises and never waits.

    Anything may be a value or an argument: what cannot be shown is named instead. `exc_info=True` (or an exception)
    adds a traceback, without local variables.
    """

    __slots__ = ("_context", "_name")

    def __init__(self, name: str, context: Mapping[str, object]) -> None:
        self._name = name
        self._context = context

    def __repr__(self) -> str:
        return f"<Logger {self._name} {dict(self._context)!r}>"

    def bind(self, **values: object) -> Logger:
        """Return a logger that adds `values` to each of its records."""
        return Logger(self._name, {**self._context, **values})

    def unbind(self, *keys: str) -> Logger:
        """Return a logger without these bound values; KeyError for one that is not bound."""
        rest = dict(self._context)
        for key in keys:
            del rest[key]
        return Logger(self._name, rest)

    def try_unbind(self, *keys: str) -> Logger:
        """Return a logger without these bound values, as far as they are bound."""
        return Logger(self._name, {key: value for key, value in self._context.items() if key not in keys})

    def new(self, **values: object) -> Logger:
        """Return a logger with these bound values only."""
        return Logger(self._name, values)

    def debug(self, event: object, /, *args: object, **values: object) -> None:
        """Say what only somebody who looks for a fault wants to know."""
        self._say(logging.DEBUG, event, args, values)

    def info(self, event: object, /, *args: object, **values: object) -> None:
        """Say what happened as it should."""
        self._say(logging.INFO, event, args, values)

    def warning(self, event: object, /, *args: object, **values: object) -> None:
        """Say what went wrong and is being dealt with."""
        self._say(logging.WARNING, event, args, values)

    def error(self, event: object, /, *args: object, **values: object) -> None:
        """Say what went wrong and needs somebody."""
        self._say(logging.ERROR, event, args, values)

    def critical(self, event: object, /, *args: object, **values: object) -> None:
        """Say why the program cannot go on."""
        self._say(logging.CRITICAL, event, args, values)

    def exception(self, event: object, /, *args: object, **values: object) -> None:
        """`error` with the traceback of the exception that is being handled."""
        values.setdefault("exc_info", True)
        self._say(logging.ERROR, event, args, values)

    def log(self, level: int, event: object, /, *args: object, **values: object) -> None:
        """Say `event` at a level of the standard library's."""
        self._say(level, event, args, values)

    warn = warning
    fatal = critical
    msg = info

    def is_enabled_for(self, level: int) -> bool:
        """Tell whether a record of this level would be shown."""
        active = _active
        return level >= active.level if active else logging.getLogger(self._name).isEnabledFor(level)

    isEnabledFor = is_enabled_for  # noqa: N815 - the standard library's name

    def _say(self, level: int, event: object, args: tuple[object, ...], values: dict[str, object]) -> None:
        active = _active  # another thread may close it meanwhile
        if active is None:
            _say_elsewhere(self._name, level, message(event, args), {**self._context, **values})
        elif level >= active.level:
            active.say(self._name, level, message(event, args), {**self._context, **values})


def get_logger(name: str, **bound: object) -> Logger:
    """Return a logger called `name` whose records carry `bound`, by custom `connection="<id>"`.

    Costs one small object and a dict; nothing is looked up, imported or registered.
    """
    return Logger(name, bound)


class LogHandle:
    """The logging that `configure` set up."""

    def __init__(self, log_format: LogFormat, level: int, renderer: Renderer, writer: LineWriter) -> None:
        self.format: LogFormat = log_format
        self.level = level
        self._renderer = renderer
        self._writer = writer
        self._undo: list[Callable[[], object]] = []
        # structlog.testing.capture_logs swaps the contents of this very list, so our records are captured as well.
        self.processors: list[Callable[[Any, str, Any], Any]] = [_merge_contextvars, self.deliver]

    @property
    def dropped(self) -> int:
        """Lines that were lost so far: no room, or standard error did not take them."""
        return self._writer.dropped

    @property
    def backlog(self) -> int:
        """Lines that wait to be written."""
        return self._writer.backlog

    def close(self, timeout: float = 2.0) -> int:
        """Put back the logging of before, write what is left, and return how many lines were not written in time.

        Blocks for up to `timeout` seconds, so it is called when the event loop has ended. May be repeated. A process
        that is about to end need not call it: at exit the rest is written, and a thread that is stuck until then
        cannot get round `scrub`, because nothing is put back.
        """
        while self._undo:
            self._undo.pop()()
        return self._writer.close(timeout)

    def at_close(self, undo: Callable[[], object]) -> None:
        """Have `undo` called by `close`, the latest first."""
        self._undo.append(undo)

    def say(self, name: str, level: int, event: str, values: dict[str, object]) -> None:
        """Send one of our own records through structlog's processors. Never raises."""
        event_dict: Any = {**values, "event": event}
        if "event" in values:
            event_dict["event_"] = values["event"]
        method = _METHODS.get(level) or "log"
        try:
            for process in self.processors:
                event_dict = process((name, level), method, event_dict)
        except BaseException as error:  # noqa: BLE001 - whoever captures records for a test may put anything in the chain
            if type(error).__name__ != "DropEvent":
                self._emit(Record(time.time(), level, name, event, (), values))

    def deliver(self, origin: tuple[str, int], _method: str, event_dict: MutableMapping[str, Any]) -> str:
        """Be the last of structlog's processors: render the record and queue its line."""
        values = dict(event_dict)
        event, error = values.pop("event"), _exception_of(values.pop("exc_info", None))
        self._emit(Record(time.time(), origin[1], origin[0], event, (), values, error))
        return ""

    def foreign(self, record: logging.LogRecord) -> None:
        """Queue a record of the standard library's logging. Never raises."""
        values, error = _merge_contextvars(None, "", {}), _exception_of(record.exc_info)
        self._emit(Record(record.created, record.levelno, record.name, record.msg, record.args or (), values, error))

    def _emit(self, record: Record) -> None:
        self._writer.put(self._renderer.render(record), urgent=record.level >= logging.CRITICAL)


_active: LogHandle | None = None


def configure(
    log_format: LogFormat | None = None,
    level: int | str = logging.INFO,
    scrub: Scrub = str,
    *,
    fd: int | None = None,
    max_lines: int = 10_000,
) -> LogHandle:
    """Send the logging of the whole process to standard error until the handle is closed.

    A second call replaces the first.

    Args:
        log_format: "console" or "json"; by default the console's, but JSON under systemd's journal. Under the journal
            (JOURNAL_STREAM is set and this is no terminal) each line begins with its priority, in either format.
        level: for our own records; libraries stay at WARNING or above, see `QUIET_LIBRARIES`.
        scrub: returns a text without the secrets in it. Every line passes through it.
        fd: write here instead of standard error.
        max_lines: lines that may wait for a blocked standard error; more are dropped and counted.

    Raises:
        ValueError: no such level or format.
    """
    global _active  # noqa: PLW0603 - one per process, like standard error itself
    number = _level_number(level)
    if log_format not in (None, "console", "json"):
        raise ValueError(f'cannot log as {log_format!r}: choose "console" or "json"')
    if _active:
        _active.close()
    target = _standard_error() if fd is None else fd
    terminal = os.isatty(target)
    journal = bool(os.environ.get("JOURNAL_STREAM")) and not terminal
    chosen: LogFormat = log_format or ("json" if journal else "console")
    colours = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    renderer = Renderer(chosen, scrub, colours=colours, priorities=journal)

    def notice(text: str, count: int, seconds: float) -> bytes:
        values = {"lines": count, "seconds": round(seconds, 3)}
        return renderer.render(Record(time.time(), logging.WARNING, "connmgr.logs", text, (), values))

    writer = LineWriter(target, notice, max_lines=max_lines)
    handle = LogHandle(chosen, number, renderer, writer)
    handle.at_close(take_over_structlog(handle.processors, _logger_for_structlog))
    levels = {"": max(number, logging.WARNING), "connmgr": number, **QUIET_LIBRARIES}
    handle.at_close(take_over_stdlib(handle.foreign, levels))
    handle.at_close(take_over_hooks(get_logger("connmgr.uncaught")))
    _active = handle
    handle.at_close(_forget)
    atexit.register(writer.close, _EXIT_TIMEOUT)
    handle.at_close(lambda: atexit.unregister(writer.close))
    return handle


def _forget() -> None:
    global _active  # noqa: PLW0603 - one per process, like standard error itself
    _active = None


def _level_number(level: int | str) -> int:
    number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
    if number is None:
        raise ValueError(f"cannot log at level {level!r}: choose debug, info, warning, error or critical")
    return number


def _standard_error() -> int:
    """Return number 2, or the null device where the process was started without one or a plugin closed it.

    Without one, number 2 is given to the next file that is opened, which may be a device's socket.
    """
    if sys.stderr is not None and not sys.stderr.closed:
        with contextlib.suppress(OSError):
            os.fstat(2)
            return 2
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _merge_contextvars(logger: object, method: str, event_dict: Any) -> Any:  # noqa: ANN401 - structlog's processors
    from structlog.contextvars import merge_contextvars

    return merge_contextvars(logger, method, event_dict)


def _exception_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        exc_info = exc_info[1]
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _say_elsewhere(name: str, level: int, event: str, values: dict[str, Any]) -> None:
    """Hand a record to the logging of the program we are embedded in."""
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        structlog.get_logger(name).log(level, event, **values)
        return
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        exc_info = _exception_of(values.pop("exc_info", None))
        line = event + "".join(f" {key}={message('%r', (value,))}" for key, value in values.items())
        logger.log(level, "%s", line, exc_info=exc_info, stacklevel=4)


def _logger_for_structlog(name: str, context: Mapping[str, object], **_: object) -> Logger:
    """Make the logger that `structlog.get_logger(name)` gives."""
    return Logger(name, context)
