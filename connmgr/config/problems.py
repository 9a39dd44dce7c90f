"""What is wrong with a configuration: where, what, and what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from connmgr.errors import ConnmgrError
from connmgr.places import Lines, Path, Spot, locate
from connmgr.secrets import hide_url_passwords

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_$-]{1,64}")
_LONGEST: Final = 40
_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file; line and column are counted from 1, and None when the file as a whole is meant."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. No part of it contains a secret.

    Attributes:
        path: such as `connections.press_plc.config.port`; empty when the file as a whole is meant.
        message: what is wrong, on one line.
        remedy: what to do about it, or empty.
    """

    place: Place
    path: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.place} {self.path}" if self.path else str(self.place)
        return f"{place}: {self.message}" + (f"; {self.remedy}" if self.remedy else "")


class ConfigProblems(ConnmgrError):
    """A configuration cannot be used. `problems` is everything that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        listed = [str(problem) for problem in self.problems[:_LISTED]]
        if len(self.problems) > _LISTED:
            listed.append(f"… and {len(self.problems) - _LISTED} more")
        super().__init__("cannot use the configuration:\n" + "\n".join(listed))


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem whose path is known and whose place is not yet looked up.

    Attributes:
        at_key: it is the key that is wrong, not its value.
        offset: where it is, when that is known already.
    """

    path: Path
    message: str
    remedy: str = ""
    at_key: bool = False
    offset: int | None = None

    def below(self, parent: Path) -> Finding:
        """The same, seen from further out."""
        return Finding((*parent, *self.path), self.message, self.remedy, self.at_key, self.offset)


def place_findings(findings: Collection[Finding], text: str, file: str) -> list[Problem]:
    """Look the places up, in one pass over the text, and bring them into its order; one message for one path there."""
    wanted = {finding.path[:length] for finding in findings for length in range(len(finding.path) + 1)}
    spots = locate(text, wanted)
    placed: dict[tuple[int, Path], Finding] = {}
    for finding in findings:
        offset = _offset(finding, spots) if finding.offset is None else finding.offset
        placed.setdefault((offset, finding.path), finding)
    lines = Lines(text)
    return [
        Problem(Place(file, *lines.at(offset)), spell(path), found.message, found.remedy)
        for (offset, path), found in sorted(placed.items(), key=lambda item: item[0][0])
    ]


def _offset(finding: Finding, spots: dict[Path, Spot]) -> int:
    """Of the key or value that is wrong; of what is missing, the innermost object that is there."""
    whole = spots.get(finding.path)
    if whole is not None:
        return whole.key if finding.at_key and whole.key is not None else whole.value
    parents = (spots.get(finding.path[:length]) for length in range(len(finding.path) - 1, -1, -1))
    return next((spot.value for spot in parents if spot is not None), 0)


def spell(path: Path) -> str:
    """A path in words: `connections.press_plc.config.items[3]`; unusual keys are quoted, cut and escaped."""
    parts = []
    for element in path:
        if isinstance(element, int):
            parts.append(f"[{element}]")
        elif _PLAIN_KEY.fullmatch(element):
            parts.append(f".{element}")
        else:
            parts.append("[" + quoted(element, '"') + "]")
    return "".join(parts).removeprefix(".")


def quoted(text: str, quote: str = "'") -> str:
    """A text as it may stand in a message: cut, on one line, nothing invisible or right-to-left in it, no password."""
    text = hide_url_passwords(text)
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    shown = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
    return f"{quote}{shown}{quote}"


def shown(value: object) -> str:
    """A JSON value as it may stand in a message, unless it is a secret."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return json.dumps(value)


def nearest(wrong: str, known: Iterable[str]) -> str:
    """A remedy for a misspelt word: the one that was probably meant, or the choice."""
    words = sorted(set(known))
    if not words:
        return "none exists"
    lowered = {word.lower(): word for word in reversed(words)}
    close = get_close_matches(wrong[:100].lower(), lowered, n=1)
    if close:
        return f'did you mean "{lowered[close[0]]}"?'
    listed = ", ".join(words[:_LISTED])
    return f"there are {listed}" if len(words) <= _LISTED else f"there are {listed}, …"
