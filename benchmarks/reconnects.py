"""Thousands of reconnections of each plugin: what is left behind in descriptors, tasks, threads and memory.

Each plugin is measured in a process of its own: `python -m benchmarks.reconnected TYPE NUMBER SECONDS`.
"""

from typing import Any

from benchmarks.child import Child
from benchmarks.managed import PLUGINS
from benchmarks.report import Row, main, say

NUMBER = 10_000
SECONDS = {"tcp": 30, "serial": 40, "s7": 40, "modbus": 40, "http": 40}  # the most for each
FLAT = 64.0  # bytes a reconnection: 10,000 of them, three months of one each 13 minutes, are then 0.6 MiB


async def measure(quick: bool) -> list[Row]:
    """Every plugin."""
    rows = []
    for kind in PLUGINS:
        say(f"{kind}: reconnecting")
        number, seconds = (200, 5) if quick else (NUMBER, SECONDS[kind])
        async with Child("benchmarks.reconnected", kind, number, seconds) as child:
            rows.append(row(kind, await child.told(), judged=not quick))
    return rows


def row(kind: str, found: dict[str, Any], *, judged: bool) -> Row:
    """One plugin; few reconnections cannot be judged by the slope of memory."""
    left = {name: found["after"][name] - found["before"][name] for name in ("files", "tasks", "threads")}
    shown = ", ".join(f"{name} {number:+d}" for name, number in left.items())
    return Row(
        f"{kind}: {found['reconnections']:,} reconnections in {found['seconds']:.0f} s",
        f"{shown}; memory {found['slope']:+.0f} bytes each, {found['grown'] / 1024:+,.0f} KiB in all",
        f"+0, +0, +0; at most {FLAT:g} bytes",
        not any(number > 0 for number in left.values()) and (found["slope"] <= FLAT or not judged),
    )


if __name__ == "__main__":
    main(measure)
