"""All measurements, one after the other, each topic in a process of its own; prints the table and writes it down.

python -m benchmarks [--quick] [--only TOPIC …] [--no-write]
"""

import argparse
import json
import subprocess
import sys
import time

from benchmarks.child import ROOT
from benchmarks.machine import description
from benchmarks.report import JSON_MARK, Row, say, table, write

DOCUMENT = ROOT / "docs" / "performance.md"
PATIENCE = 600  # seconds for one topic
TOPICS = {
    "steady": "many healthy connections, against a bare program",
    "outage": "a common outage",
    "hang": "one connection of 100 hangs",
    "edges": "loss seen, device regained",
    "reconnects": "thousands of reconnections",
    "startup": "the command line's start",
}


def measure(topic: str, quick: bool) -> list[Row]:
    """The rows of one topic; a row that says so when it failed."""
    command = [sys.executable, "-m", f"benchmarks.{topic}", "--json", *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=True)  # noqa: S603 - our own modules
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        return [Row(TOPICS[topic], f"not measured: {error}", met=False)]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(JSON_MARK))
    return [Row(**values) for values in json.loads(line.removeprefix(JSON_MARK))]


def main() -> int:
    """Measure, print, write. 1 when something could not be measured (a missed target is no failure)."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="The measurements of docs/performance.md."
    )
    parser.add_argument("--quick", action="store_true", help="small numbers, under 90 seconds; writes nothing")
    parser.add_argument("--only", nargs="+", choices=TOPICS, default=list(TOPICS), help="only these; writes nothing")
    parser.add_argument("--no-write", action="store_true", help="leave docs/performance.md as it is")
    arguments = parser.parse_args()
    began, rows = time.monotonic(), []
    for topic in arguments.only:
        print(f"==> {TOPICS[topic]}", file=sys.stderr, flush=True)
        rows += measure(topic, arguments.quick)
    measured = f"Measured {description()}.\n\n{table(rows)}"
    print(measured)
    say(f"all of it took {time.monotonic() - began:.0f} s")
    missing = any(row.measured.startswith("not measured") for row in rows)
    if not (missing or arguments.quick or arguments.no_write or set(arguments.only) != set(TOPICS)):
        write(DOCUMENT, measured)
        say(f"written to {DOCUMENT.relative_to(ROOT)}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
