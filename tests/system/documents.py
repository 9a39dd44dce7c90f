"""The documents of this repository, taken apart: blocks of code, commands, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "systemd/*.md", "plugins/*/README.md", "examples/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_PROGRAM = re.compile(r"(?:\S*/)?connmgr")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is that of its fence."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: str, *languages: str) -> list[Block]:
    """The fenced blocks of a document in these languages, or all of them."""
    found = list(_blocks(document))
    return [block for block in found if block.language in languages] if languages else found


def _blocks(document: str) -> Iterator[Block]:
    opened: tuple[int, str] | None = None
    inside: list[str] = []
    for number, line in enumerate((ROOT / document).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.startswith("```"):
            inside.append(line)
        elif opened is None:
            opened, inside = (number, line[3:]), []
        else:
            yield Block(document, *opened, "".join(f"{each}\n" for each in inside))
            opened = None
    assert opened is None, f"{document}: the block of line {opened} is not closed"


def prose(document: str) -> str:
    """The document without its blocks."""
    return re.sub(r"^```.*?^```", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def links(document: str) -> list[str]:
    """The targets of a document's links within this repository."""
    return [link for link in _LINK.findall(prose(document)) if "://" not in link]


def anchors(document: str) -> set[str]:
    """The headings of a document as link targets."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(document: str) -> list[list[str]]:
    """Every `connmgr …` of a document as its words: whole lines of shell blocks, and commands in the middle of text."""
    spans = [span for span in _CODE.findall(prose(document)) if span.startswith("connmgr ")]
    lines = [line for block in blocks(document, "sh") for line in block.text.splitlines()]
    found = []
    for line in spans + lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # a part of something longer
        if words and _PROGRAM.fullmatch(words[0]):
            found.append(words[1:])
    return found
