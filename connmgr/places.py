"""Where things stand in a JSON text: the line and column of every path, and of the first syntax error.

The scanner keeps its own stack instead of recursing, so a hostile file cannot exhaust Python's. It is an order of
magnitude slower than `json.loads` and only runs when there is something to point at.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, Protocol

Path = tuple[str | int, ...]
Kind = Literal["key", "open", "close", "scalar"]
Token = tuple[Kind, int, int]

MAX_DEPTH: Final = 64

_SPACE: Final = re.compile(r"[ \t\n\r]*+")
_STRING_BODY: Final = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_SCALAR: Final = re.compile(r"(?:-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?|true|false|null)(?![\w.+-])", re.ASCII)
_NOT_FINITE: Final = re.compile(r"(?:NaN|-?Infinity)(?!\w)")
_WORD: Final = re.compile(r"[\w.+-]+")
_CURLY_QUOTES: Final = "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2018\u2019\u201a"


class JsonSyntaxError(ValueError):
    """The text is not JSON. `offset` is where, `remedy` (may be empty) is what to do about it."""

    def __init__(self, offset: int, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Spot:
    """Offsets of one path: of its value, and of its key where it has one (list items and the document have none)."""

    value: int
    key: int | None = None


class Lines:
    """Turns an offset into a line and a column, both counted from 1, the column in characters."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def at(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def nodes(text: str) -> Iterator[tuple[Kind, list[str | int], int, int]]:
    """Walk a JSON text: kind of token, path of the value it belongs to, start and end offset.

    The path is one list that changes as the walk goes on; copy it to keep it. For "close" it is the path of the
    container that ends. `NaN` and `Infinity` pass as scalars, as they do in `json.loads`.

    Raises:
        JsonSyntaxError: at the first thing that is not JSON, or is nested more than 64 deep.
    """
    path: list[str | int] = []
    for kind, start, end in _Scanner(text).tokens():
        if kind == "key":
            path[-1] = decode_string(text, start, end)
        elif kind == "close":
            path.pop()
        elif path and isinstance(path[-1], int):
            path[-1] += 1
        yield kind, path, start, end
        if kind == "open":
            path.append("" if text[start] == "{" else -1)


def locate(text: str, wanted: Collection[Path]) -> dict[Path, Spot]:
    """The spots of those wanted paths that exist; of a key given twice, the last one, which is the one that counts."""
    found: dict[Path, Spot] = {}
    key_at: int | None = None
    for kind, path, start, _ in nodes(text):
        if kind == "key":
            key_at = start
        elif kind != "close":
            spelled = tuple(path)
            if spelled in wanted:
                found[spelled] = Spot(start, key_at if path and isinstance(path[-1], str) else None)
    return found


def decode_string(text: str, start: int, end: int) -> str:
    """The string whose literal, quotes included, is text[start:end]."""
    plain = text[start + 1 : end - 1]
    return plain if "\\" not in plain else str(json.loads(text[start:end]))


class _State(Protocol):
    """What may come next: consumes from a character on, gives the token, if it was one, and the state after it."""

    def __call__(self, char: str, /) -> tuple[Token | None, _State]: ...


class _Scanner:
    """One pass over a text. Each state names what may come next and is a method that consumes it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._comma = -1
        self._opened: list[int] = []

    def tokens(self) -> Iterator[Token]:
        text, size = self._text, len(self._text)
        state: _State = self._value
        while True:
            space = _SPACE.match(text, self._at)
            self._at = space.end() if space else self._at
            if self._at == size:
                if state == self._end:
                    return
                self._fail_at_end()
            token, state = state(text[self._at])
            if token is not None:
                yield token

    def _value(self, char: str) -> tuple[Token | None, _State]:
        start = self._at
        if char in "{[":
            if len(self._opened) == MAX_DEPTH:
                raise JsonSyntaxError(start, f"nested more than {MAX_DEPTH} deep", "nothing here needs that much")
            self._opened.append(start)
            self._at += 1
            return ("open", start, start + 1), self._first_key if char == "{" else self._first_item
        if char == '"':
            self._at = self._string_end(start)
        else:
            match = _SCALAR.match(self._text, start) or _NOT_FINITE.match(self._text, start)
            if match is None:
                self._fail_at_value(char)
            self._at = match.end()
        return ("scalar", start, self._at), self._after_value()

    def _first_item(self, char: str) -> tuple[Token | None, _State]:
        return self._close() if char == "]" else self._value(char)

    def _first_key(self, char: str) -> tuple[Token | None, _State]:
        return self._close() if char == "}" else self._key(char)

    def _key(self, char: str) -> tuple[Token | None, _State]:
        start = self._at
        if char != '"':
            self._fail_at_key(char)
        self._at = self._string_end(start)
        return ("key", start, self._at), self._colon

    def _colon(self, char: str) -> tuple[Token | None, _State]:
        if char != ":":
            self._fail_generally(char)
            raise JsonSyntaxError(self._at, "a colon is missing between a key and its value", 'write "key": value')
        self._at += 1
        return None, self._value

    def _next(self, char: str) -> tuple[Token | None, _State]:
        in_object = self._text[self._opened[-1]] == "{"
        if char == ("}" if in_object else "]"):
            return self._close()
        if char != ",":
            self._fail_generally(char)
            if char in "}]":
                opener = "{" if in_object else "["
                message = f"'{char}' does not close the '{opener}' of {self._last_opened()}"
                raise JsonSyntaxError(self._at, message, "check the brackets")
            raise JsonSyntaxError(self._at, "a comma is missing before this", "put one after the previous value")
        self._comma = self._at
        self._at += 1
        return None, self._key if in_object else self._value

    def _end(self, char: str) -> tuple[Token | None, _State]:
        self._fail_generally(char)
        raise JsonSyntaxError(self._at, "more text after the end of the document", "check the brackets before it")

    def _close(self) -> tuple[Token | None, _State]:
        start = self._at
        self._at += 1
        self._opened.pop()
        return ("close", start, start + 1), self._after_value()

    def _after_value(self) -> _State:
        return self._next if self._opened else self._end

    def _string_end(self, start: int) -> int:
        match = _STRING_BODY.match(self._text, start)
        end = match.end() if match else start
        char = self._text[end : end + 1]
        if char == '"':
            return end + 1
        if char in ("", "\n", "\r"):
            raise JsonSyntaxError(start, "the text that starts here is not closed", 'put a " at its end')
        if char == "\\":
            raise JsonSyntaxError(end, "an escape that JSON does not know", r"write a backslash as \\")
        raise JsonSyntaxError(
            end, f"a control character (U+{ord(char):04X}) stands inside text", f"write it as \\u{ord(char):04x}"
        )

    def _fail_generally(self, char: str) -> None:
        """What goes wrong everywhere: comments, quotation marks and spaces that are not JSON's."""
        if char in "/#":
            raise JsonSyntaxError(self._at, "JSON has no comments", "delete it")
        if char == "'" or char in _CURLY_QUOTES:
            raise JsonSyntaxError(self._at, f"{char} is not a quotation mark in JSON", 'use the straight "')
        if char == "\ufeff" or (char.isspace() and char not in " \t\n\r"):
            raise JsonSyntaxError(self._at, f"U+{ord(char):04X} is not a space in JSON", "use an ordinary space")
        if not char.isprintable():
            raise JsonSyntaxError(self._at, f"an unexpected control character (U+{ord(char):04X})", "delete it")

    def _fail_at_key(self, char: str) -> NoReturn:
        self._fail_generally(char)
        if char == "}":
            raise JsonSyntaxError(self._comma, "a comma with nothing after it", "delete the comma")
        if char.isdigit() and self._text[self._comma - 1 : self._comma].isdigit():
            raise JsonSyntaxError(self._comma, "a comma inside a number, or a key is missing", "write 1.5, not 1,5")
        raise JsonSyntaxError(self._at, "a key in double quotes is expected here", 'write "key": value')

    def _fail_at_value(self, char: str) -> NoReturn:
        self._fail_generally(char)
        if char in "}]":
            if self._comma >= 0 and not self._text[self._comma + 1 : self._at].strip():
                raise JsonSyntaxError(self._comma, "a comma with nothing after it", "delete the comma")
            raise JsonSyntaxError(self._at, "a value is missing before this")
        match = _WORD.match(self._text, self._at)
        word = match.group() if match else char
        remedy = "text needs double quotes; other values are numbers (1.5), true, false, null, {…} and […]"
        spelled = {"true": "true", "false": "false", "null": "null", "none": "null", "yes": "true", "no": "false"}
        if word.lower() in spelled:
            remedy = f"write {spelled[word.lower()]}"
        elif word[0] in "+-." or word[0].isdigit():
            remedy = "a number looks like 0, -1, 1.5 or 2e3"
        raise JsonSyntaxError(self._at, "this is not a JSON value", remedy)

    def _fail_at_end(self) -> NoReturn:
        if not self._text.strip():
            raise JsonSyntaxError(0, "the file is empty", 'the smallest valid file is {"connections": {}}')
        if not self._opened:
            raise JsonSyntaxError(self._at, "the file ends too early")
        message = f"the file ends before the '{self._text[self._opened[-1]]}' of {self._last_opened()} is closed"
        raise JsonSyntaxError(self._at, message, "close it; was the file saved completely?")

    def _last_opened(self) -> str:
        line, column = Lines(self._text).at(self._opened[-1])
        return f"{line}:{column}"
