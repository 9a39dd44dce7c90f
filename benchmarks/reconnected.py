"""Reconnect connections of one type again and again, through the real supervisor. A process of its own.

    python -m benchmarks.reconnected TYPE NUMBER SECONDS

Says what was there after a tenth of the reconnections, when caches are warm, and at the end; the slope of memory is
that of the last half.
"""

import asyncio
import statistics
import sys
import time
from itertools import combinations
from typing import Any

from benchmarks.child import Child, answer
from benchmarks.machine import memory, open_files, threads
from benchmarks.managed import managed
from connmgr import ConnectionManager, ConnectionStatus
from connmgr.garbage import collect_seldom

SIDE_BY_SIDE = 4
STEPS, FEW = 20, 5  # how often is counted; with fewer than a thousand
SETTINGS = {
    "dial_rate": 100_000.0,
    "dial_burst": 1000,
    "host_dial_rate": 100_000.0,
    "host_dial_burst": 1000,
    "reconnect_delay_initial": 0.1,
    "reconnect_max_attempts": 0,
}


class Churn:
    """Asks every connection to reconnect as soon as it is connected, until that is enough."""

    def __init__(self, manager: ConnectionManager) -> None:
        self._manager = manager
        self.done = 0
        self.until = 0

    def start(self, until: int) -> None:
        """Go on until there were so many in all."""
        self.until = until
        for name in self._manager.connections:
            self._manager.post(name, "reconnect")

    async def connected(self, connection: Any) -> None:  # noqa: ANN401 - a callback for any connection
        """Called at each event."""
        self.done += 1
        if self.done < self.until:
            self._manager.post(connection.connection_id, "reconnect")


def count() -> dict[str, int]:
    """What this process holds."""
    return {"files": open_files(), "tasks": len(asyncio.all_tasks()), "threads": threads(), "memory": memory()}


async def at_rest(manager: ConnectionManager) -> dict[str, int]:
    """Wait until all are connected, and count."""
    while any(each.status is not ConnectionStatus.CONNECTED for each in manager.connections.values()):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    return count()


async def main(kind: str, number: int, seconds: float) -> None:
    """Reconnect, at most for so long."""
    side_by_side = 1 if kind == "serial" else SIDE_BY_SIDE  # a port has one owner
    async with Child("benchmarks.device", kind) as device:
        config = (await device.told())["config"]
        configs = {f"{kind}-{index}": config for index in range(side_by_side)}
        async with managed(kind, configs, SETTINGS) as manager:
            await at_rest(manager)
            churn = Churn(manager)
            manager.on_event("connected", churn.connected)
            answer(**await reconnect(manager, churn, number, seconds))


async def reconnect(manager: ConnectionManager, churn: Churn, number: int, seconds: float) -> dict[str, object]:
    """In steps, between which all is at rest and is counted."""
    began, steps = time.monotonic(), STEPS if number >= 1000 else FEW
    found: list[tuple[int, dict[str, int]]] = []
    for step in range(1, steps + 1):
        goal = number * step // steps
        churn.start(goal)
        while churn.done < goal and time.monotonic() < began + seconds:
            await asyncio.sleep(0.01)
        churn.until = churn.done
        found.append((churn.done, await at_rest(manager)))
        if time.monotonic() >= began + seconds:
            break
    warm, last = found[len(found) // 10], found[-1]
    half = found[len(found) // 2 :]
    return {
        "reconnections": churn.done,
        "seconds": time.monotonic() - began,
        "before": warm[1],
        "after": last[1],
        "slope": slope([(at, counted["memory"]) for at, counted in half]),
        "grown": last[1]["memory"] - warm[1]["memory"],
    }


def slope(points: list[tuple[int, int]]) -> float:
    """The median slope of all pairs: a single step, such as one more block from the allocator, is no trend."""
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] > a[0])


if __name__ == "__main__":
    collect_seldom()  # as the daemon does
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
