"""Rows of the table, and the document they end up in."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
JSON_MARK = "rows: "


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `met` is None where there is no target."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None

    def markdown(self) -> str:
        """The row as a line of a Markdown table."""
        mark = {True: "yes", False: "**no**", None: ""}[self.met]
        return f"| {self.what} | {self.measured} | {self.target} | {mark} |"


def table(rows: Iterable[Row]) -> str:
    """A Markdown table."""
    head = ["| what | measured | target | met |", "|---|---|---|---|"]
    return "\n".join([*head, *(row.markdown() for row in rows)])


def say(text: str) -> None:
    """One line of progress, on standard error."""
    print(f"  {text}", file=sys.stderr, flush=True)


def write(document: Path, measured: str) -> None:
    """Replace what stands between the markers of `document`.

    Raises:
        ValueError: the markers are not there.
    """
    text = document.read_text() if document.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"cannot write into {document}: it needs the lines {BEGIN} and {END}")
    document.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}")


def main(measure: Callable[[bool], Awaitable[list[Row]]]) -> None:
    """The command line of one topic: `--quick`, and `--json` for `benchmarks.__main__`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works")
    parser.add_argument("--json", action="store_true", help="print the rows for another program")
    arguments = parser.parse_args()

    async def run() -> list[Row]:
        return await measure(arguments.quick)

    rows = asyncio.run(run())
    print(JSON_MARK + json.dumps([asdict(row) for row in rows]) if arguments.json else table(rows))
