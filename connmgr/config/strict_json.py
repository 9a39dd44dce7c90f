"""JSON as the standard has it: what `json.loads` lets pass, and should not, is found and placed."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from connmgr.config.problems import Finding
from connmgr.places import MAX_DEPTH, JsonSyntaxError, Lines, Path, decode_string, nodes

_LONGEST_INTEGER: Final = 20
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(text: str) -> tuple[Any, list[Finding]]:
    """Parse a JSON text.

    Returns:
        The document, and what is wrong with it although it can be read: keys given twice, numbers that are none or
        that no computer can hold, halves of surrogate pairs.

    Raises:
        JsonSyntaxError: it is not JSON, or nested more than 64 deep.
    """
    strict = _Strict()
    try:
        document = json.loads(
            text,
            object_pairs_hook=strict.take_object,
            parse_constant=strict.take_constant,
            parse_float=strict.take_float,
            parse_int=strict.take_int,
        )
    except (json.JSONDecodeError, RecursionError) as error:
        for _ in nodes(text):
            pass
        # Only reached if the two parsers disagree; the other one's word is good enough then.
        raise JsonSyntaxError(getattr(error, "pos", 0), "this is not JSON") from None
    if _is_too_deep(document):
        for _ in nodes(text):
            pass
    return document, _flaws(text) if strict.doubtful or _SURROGATE.search(text) else []


class _Strict:
    """Hooks for `json.loads` that notice what `_flaws` will then look for."""

    def __init__(self) -> None:
        self.doubtful = False

    def take_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        self.doubtful |= len(result) != len(pairs)
        return result

    def take_constant(self, _: str) -> float:
        self.doubtful = True
        return math.nan

    def take_float(self, literal: str) -> float:
        value = float(literal)
        self.doubtful |= not math.isfinite(value)
        return value

    def take_int(self, literal: str) -> int:
        if len(literal) > _LONGEST_INTEGER:
            self.doubtful = True
            return 0
        return int(literal)


def _is_too_deep(document: Any) -> bool:  # noqa: ANN401 - any JSON value
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for container in level
            if isinstance(container, dict | list)
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def _flaws(text: str) -> list[Finding]:
    findings: list[Finding] = []
    keys: list[dict[str, int]] = []
    for kind, path, start, end in nodes(text):
        if kind == "open":
            keys.append({})
        elif kind == "close":
            keys.pop()
        elif kind == "key":
            key = str(path[-1])
            if key in keys[-1]:
                findings.append(_twice(tuple(path), start, keys[-1][key], text))
            keys[-1].setdefault(key, start)
        if kind in ("key", "scalar"):
            findings += _flaws_of_scalar(text, tuple(path), start, end)
    return findings


def _twice(path: Path, start: int, first: int, text: str) -> Finding:
    line, column = Lines(text).at(first)
    message = f"this key is already given at {line}:{column}"
    return Finding(path, message, "one of them has to go", at_key=True, offset=start)


def _flaws_of_scalar(text: str, path: Path, start: int, end: int) -> list[Finding]:
    char = text[start]
    if char == '"':
        halves = "\\" in text[start:end] and any("\ud800" <= c <= "\udfff" for c in decode_string(text, start, end))
        if halves:
            return [Finding(path, "half of a surrogate pair is not a character", "delete the \\ud…", offset=start)]
    elif char in "NI" or text.startswith("-I", start):
        return [Finding(path, f"{text[start:end]} is not a number", "a finite number is expected", offset=start)]
    elif char in "-0123456789":
        literal = text[start:end]
        if literal.lstrip("-").isdigit():
            if len(literal) > _LONGEST_INTEGER:
                return [Finding(path, f"an integer of {len(literal)} characters is too long", offset=start)]
        elif not math.isfinite(float(literal)):
            return [
                Finding(path, f"{literal[:20]} is too large for a number", "a finite number is expected", offset=start)
            ]
    return []
