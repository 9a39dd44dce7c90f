"""One log record as bytes that are safe to write (pure).

Whatever a plugin hands to a logger ends up here, so nothing in this module trusts a value: it may raise or lie when
asked for its text, be ten megabytes long, or carry line breaks that would forge a second record. What comes out is at
most `MAX_LINE` bytes, holds no control character but the final line feed (and those between the indented lines of a
traceback on a console), and no secret that `scrub` knows.
"""

from __future__ import annotations

import json
import logging
import math
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from itertools import islice
from typing import Any, Literal

LogFormat = Literal["console", "json"]
Scrub = Callable[[str], str]

MAX_LINE = 8192
"""Bytes of one record, its priority prefix and line feed included."""

SECRET_MARGIN = 4096
"""Characters removed beside a cut, so that a secret sliced by the cut cannot show its other half."""

_TEXT_LIMITS = (4096, 1024, 256, 64)
"""Characters a single text may have; a record that is still too long is rendered again with the next smaller one."""

_MAX_LEAVES, _MAX_ITEMS, _MAX_DEPTH = 256, 64, 3
_MAX_FRAMES, _MAX_CHAIN = 30, 20

# C0 and C1 controls, DEL, Unicode's own line ends, direction overrides, lone surrogates: what a terminal would obey, or
# what some reader takes for the end of a line. All are in the BMP, so "\uXXXX" names each of them, in JSON too.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_ALTERED_BY_ESCAPING = re.compile(_UNSAFE.pattern[:-1] + '"\\\\]')
_BARE_WORD = re.compile(r"[\w.:/@%+,*-]+")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_LEVELS = (  # lowest number, name, syslog priority, colour
    (logging.CRITICAL, "critical", 2, "\x1b[1;31m"),
    (logging.ERROR, "error", 3, "\x1b[31m"),
    (logging.WARNING, "warning", 4, "\x1b[33m"),
    (logging.INFO, "info", 6, "\x1b[32m"),
    (0, "debug", 7, "\x1b[2m"),
)
_BOLD, _DIM, _CYAN, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[0m"
_CORE_KEYS = frozenset({"time", "level", "event", "logger", "exception"})


@dataclass(frozen=True, slots=True)
class Record:
    """What a logger was told, untouched.

    `created` is seconds since 1970, for display only; `args` fill `event` in the old `%` way when there are any.
    """

    created: float
    level: int
    logger: str
    event: object
    args: tuple[object, ...] | Mapping[str, object] = ()
    values: Mapping[str, object] = field(default_factory=dict)
    error: BaseException | None = None


def message(event: object, args: tuple[object, ...] | Mapping[str, object]) -> str:
    """Return `event % args` without ever raising; arguments that do not fit are named after the text."""
    text = _text_of(event)
    if not args:
        return text
    if isinstance(args, tuple) and len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
        args = args[0]
    try:
        return text % args
    except BaseException as error:  # noqa: BLE001 - a hostile __str__ may raise anything, SystemExit included
        return f"{text} (arguments cannot be shown: {_type_name(error)})"


def _type_name(value: object) -> str:
    try:
        return str(type(value).__name__)
    except BaseException:  # noqa: BLE001 - see message()
        return "object"


def _text_of(value: object) -> str:
    try:
        # str.__str__ makes a real str of a subclass without running any of the subclass's code.
        return str.__str__(value) if isinstance(value, str) else str.__str__(str(value))
    except BaseException as error:  # noqa: BLE001 - see message()
        return f"({_type_name(value)} cannot be shown: {_type_name(error)})"


def _qualified(error: BaseException) -> str:
    text = _text_of(error)
    return f"{_type_name(error)}: {text}" if text else _type_name(error)


def traceback_text(error: BaseException) -> str:
    """Return the traceback of `error` and of what caused it: never a local variable, never more than it takes."""
    try:
        if _chain_is_short(error):
            shown = traceback.TracebackException(
                type(error), error, error.__traceback__, limit=-_MAX_FRAMES, capture_locals=False, compact=True
            )
            return "".join(shown.format()).rstrip("\n")
        frames = "".join(traceback.format_tb(error.__traceback__, limit=-_MAX_FRAMES))
        return f"(more than {_MAX_CHAIN} chained exceptions; the last one:)\n{frames}{_qualified(error)}"
    except BaseException as problem:  # noqa: BLE001 - see message()
        return f"{_qualified(error)} (its traceback cannot be shown: {_type_name(problem)})"


def _chain_is_short(error: BaseException) -> bool:
    """Tell whether the standard library may walk the causes: it formats every one, however many."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if len(seen) > _MAX_CHAIN:
            return False
        waiting += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions[: _MAX_CHAIN + 1]
    return True


class _Plain:
    """Turns values into bounded plain data: None, bool, int, float, str, lists and dicts of them."""

    def __init__(self, scrub: Scrub, limit: int) -> None:
        self._scrub = scrub
        self._limit = limit
        self._leaves = _MAX_LEAVES

    def text(self, text: str) -> str:
        """Return `text` scrubbed and cut after the limit, with a note that says so."""
        size = len(text)
        if size > self._limit + SECRET_MARGIN:
            text = self._scrub(text[: self._limit + SECRET_MARGIN])[:-SECRET_MARGIN]
        elif size <= self._limit and not _ALTERED_BY_ESCAPING.search(text):
            return text  # stays as it is in the line, and the whole line is scrubbed at the end
        else:
            text = self._scrub(text)
            if len(text) <= self._limit:
                return text
        return f"{text[: self._limit]}… (cut, {size} characters)"

    def middle_cut(self, text: str) -> str:
        """Like `text`, but keeps both ends: a traceback says where at its beginning and what at its end."""
        if len(text) <= self._limit:
            return self.text(text)
        head, tail = self._limit // 4, self._limit - self._limit // 4
        if len(text) <= self._limit + SECRET_MARGIN:  # scrubbed whole, so no cut goes through a secret
            whole = self._scrub(text)
            begin, end = whole[:head], whole[-tail:]
        else:
            begin = self._scrub(text[: head + SECRET_MARGIN])[:-SECRET_MARGIN][:head]
            end = self._scrub(text[-(tail + SECRET_MARGIN) :])[SECRET_MARGIN:][-tail:]
        return f"{begin}\n… (cut, {len(text)} characters)\n{end}"

    def value(self, value: object, depth: int = 0) -> Any:  # noqa: ANN401 - JSON data
        """Return `value` as plain data; one that refuses becomes a text that says so."""
        if self._leaves <= 0:
            return "…"
        self._leaves -= 1
        try:
            return self._value(value, depth)
        except BaseException as error:  # noqa: BLE001 - see message()
            return f"({_type_name(value)} cannot be shown: {_type_name(error)})"

    def _value(self, value: object, depth: int) -> Any:  # noqa: ANN401, PLR0911 - JSON data; a table of kinds
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, Enum):
            return self.value(value.value, depth)
        if type(value) is int or type(value) is float:
            return self._number(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(value)
        if isinstance(value, BaseException):
            return self.text(_qualified(value))
        if isinstance(value, (Mapping, list, tuple, AbstractSet)):
            if depth >= _MAX_DEPTH:
                return "…"
            return self.mapping(value, depth + 1) if isinstance(value, Mapping) else self._list(value, depth + 1)
        return self.text(_text_of(value))

    def _number(self, value: float) -> int | float | str:
        if isinstance(value, float) and not math.isfinite(value):
            return repr(value)  # NaN and Infinity are not JSON
        if isinstance(value, int) and value.bit_length() > 64:
            return self.text(hex(value))  # decimal takes quadratic time, and raises from 4300 digits on
        shown = self._scrub(repr(value))
        return value if shown == repr(value) else shown

    def _bytes(self, value: bytes | bytearray | memoryview) -> str:
        head = bytes(value[: self._limit + SECRET_MARGIN])
        readable = head.decode("utf-8", "backslashreplace")
        scrubbed = self._scrub(readable)  # a secret is looked for before repr() rewrites its quotes and umlauts
        return self.text(repr(head) if scrubbed == readable else scrubbed)

    def _list(self, items: list[Any] | tuple[Any, ...] | AbstractSet[Any], depth: int) -> list[Any]:
        shown = [self.value(item, depth) for item in islice(items, min(_MAX_ITEMS, self._leaves + 1))]
        return [*shown, f"… ({len(items) - len(shown)} more)"] if len(items) > len(shown) else shown

    def mapping(self, items: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
        """Return the first entries of `items`, keys as short texts."""
        shown: dict[str, Any] = {}
        for key in islice(items, min(_MAX_ITEMS, self._leaves + 1)):
            shown[self.text(_text_of(key)[:64])] = self.value(items[key], depth)
        if len(items) > len(shown):
            shown["…"] = f"{len(items) - len(shown)} more"
        return shown


class Renderer:
    """Turns records into bytes.

    Args:
        log_format: one JSON object a line, or a line for people (tracebacks indented below it).
        scrub: removes secrets from a text. When it fails the record is withheld, never shown as it was.
        colours: console only.
        priorities: begin each line with its syslog priority, as the journal expects (`<6>` is information).
    """

    def __init__(self, log_format: LogFormat, scrub: Scrub, *, colours: bool = False, priorities: bool = False) -> None:
        self._lines = self._json if log_format == "json" else self._console
        self._is_json = log_format == "json"
        self._scrub = scrub
        self._colours = colours
        self._priorities = priorities

    def render(self, record: Record) -> bytes:
        """Return `record` as one or more whole lines, at most `MAX_LINE` bytes. Never raises."""
        try:
            for limit in _TEXT_LIMITS:
                data = self._bytes(record, limit)
                if len(data) <= MAX_LINE:
                    return data
            values = {key: record.values[key] for key in ("connection",) if key in record.values}
            return self._bytes(replace(record, values={**values, "cut": "all other values"}), _TEXT_LIMITS[-1])
        except BaseException as error:  # noqa: BLE001 - see message(); MemoryError and a failing scrub end up here too
            return self._withheld(record, _type_name(error))

    def _withheld(self, record: Record, why: str) -> bytes:
        note = f"a log record cannot be shown safely and was withheld ({why})"
        core = {"time": _iso(record.created), "level": _level(record.level)[1], "event": note}
        line = json.dumps(core) if self._is_json else " ".join(core.values())
        return self._prefixed(record.level, line)

    def _bytes(self, record: Record, limit: int) -> bytes:
        shown = "\n".join(self._lines(record, _Plain(self._scrub, limit)))
        text = self._scrub(shown)
        if self._is_json and text != shown:
            json.loads(text)  # a secret that reached into the structure of the line leaves no JSON: withhold it
        return self._prefixed(record.level, text)

    def _prefixed(self, level: int, text: str) -> bytes:
        if self._priorities:
            prefix = f"<{_level(level)[2]}>"
            text = prefix + text.replace("\n", "\n" + prefix)
        return (text + "\n").encode("utf-8", "backslashreplace")

    def _json(self, record: Record, plain: _Plain) -> Iterator[str]:
        document = {
            "time": _iso(record.created),
            "level": _level(record.level)[1],
            "event": plain.text(message(record.event, record.args)),
        }
        values = plain.mapping(record.values)
        if "connection" in values:
            document["connection"] = values.pop("connection")
        document["logger"] = plain.text(_text_of(record.logger))
        document.update(_without_core_names(values))
        if record.error is not None:
            document["exception"] = plain.middle_cut(traceback_text(record.error))
        # What json escapes is only the C0 range, and only inside texts; the rest can only be inside texts as well.
        yield _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(document, ensure_ascii=False))

    def _console(self, record: Record, plain: _Plain) -> Iterator[str]:
        _, level, _, colour = _level(record.level)
        values = plain.mapping(record.values)
        where = f"[{_escaped(str(values.pop('connection')))}] " if "connection" in values else ""
        if not record.logger.startswith("connmgr"):
            values["logger"] = plain.text(_text_of(record.logger))
        event = _escaped(plain.text(message(record.event, record.args)))
        yield " ".join(
            [
                self._in(_DIM, _iso(record.created)),
                self._in(colour, f"{level:<8}"),
                where + self._in(_BOLD, event),
                *(f"{self._in(_CYAN, _escaped(key))}={_word(value)}" for key, value in values.items()),
            ]
        )
        if record.error is not None:
            # Indented, so that no text inside an exception can pass for a record of its own.
            for line in plain.middle_cut(traceback_text(record.error)).split("\n"):
                yield "    | " + _escaped(line)

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colours else text


def _iso(created: float) -> str:
    try:
        return datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    except (ArithmeticError, OSError, TypeError, ValueError):  # a record somebody made by hand
        return "(no such time)"


def _level(level: int) -> tuple[int, str, int, str]:
    return next((row for row in _LEVELS if level >= row[0]), _LEVELS[-1])


def _without_core_names(values: dict[str, Any]) -> dict[str, Any]:
    """Rename values called like a part of the record itself: a plugin's `time=` must not replace the record's."""
    if _CORE_KEYS.isdisjoint(values):
        return values
    return {f"{key}_" if key in _CORE_KEYS else key: value for key, value in values.items()}


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda found: _SHORT_ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04x}", text)


def _word(value: Any) -> str:  # noqa: ANN401 - JSON data
    if isinstance(value, str) and _BARE_WORD.fullmatch(value):
        return _escaped(value)
    return _escaped(json.dumps(value, ensure_ascii=False))
