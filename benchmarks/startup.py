"""What `connmgr --version` costs: the price of every command, and of every Tab in a shell."""

import asyncio
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.report import Row, main, say

TARGET = 150.0  # milliseconds
PROGRAM = Path(sys.executable).parent / "connmgr"


async def measure(quick: bool) -> list[Row]:
    """User and system time, the median of several runs."""
    runs = 3 if quick else 10
    say(f"connmgr --version, {runs} times")
    found = [await asyncio.to_thread(cpu, str(PROGRAM), "--version") for _ in range(runs)]
    bare = [await asyncio.to_thread(cpu, sys.executable, "-c", "pass") for _ in range(runs)]
    median = statistics.median(found)
    return [
        Row(
            "`connmgr --version`, user and system time",
            f"{median:.0f} ms (Python alone {statistics.median(bare):.0f} ms)",
            f"{TARGET:g} ms",
            median <= TARGET,
        )
    ]


def cpu(*command: str) -> float:
    """Milliseconds of CPU that a command took."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - both commands are given above
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000


if __name__ == "__main__":
    main(measure)
