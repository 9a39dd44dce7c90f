"""Many TCP devices under one `ConnectionManager`. A process of its own.

    python -m benchmarks.fleet LOOP CONNECTIONS_JSON

Says `{"up": n}` when all are connected. Commands: `measure` (CPU, memory and lateness of checks between two times),
`dials` (the times at which `connect` was called), `states` (how many connections are in which status).
"""

import asyncio
import sys
import time
from array import array
from collections import Counter
from typing import Any, ClassVar

from benchmarks.child import answer, commands
from benchmarks.machine import late, loop_named, memory, percentile, raise_file_limit
from connmgr import ConnectionManager, ConnectionStatus
from connmgr.garbage import collect_seldom
from connmgr.logs import configure
from connmgr_tcp import TcpConnection

lateness = array("d")
dials = array("d")
events: Counter[str] = Counter()


class Watched(TcpConnection):
    """Notes when it is called."""

    interval: ClassVar[float] = 30.0

    async def connect(self) -> bool:
        dials.append(time.monotonic())
        return await super().connect()

    async def health_check(self) -> bool:
        lateness.append(late(self.connection_id, self.interval, time.monotonic()))
        return await super().health_check()


async def measure(start: float, end: float, connections: int, before: int) -> dict[str, object]:
    """CPU, memory and lateness of checks between two times of the monotonic clock."""
    await asyncio.sleep(start - time.monotonic())
    del lateness[:]
    cpu = time.process_time()
    await asyncio.sleep(end - time.monotonic())
    cpu, found = time.process_time() - cpu, lateness[:]
    return {
        "cpu": cpu,
        "checks": len(found),
        "late_p99": percentile(found, 0.99),
        "late_max": max(found, default=0.0),
        "memory": (memory() - before) / connections,
    }


def count(manager: ConnectionManager) -> Counter[ConnectionStatus]:
    """How many connections are in which status."""
    return Counter(connection.status for connection in manager.connections.values())


async def main(path: str) -> None:
    """Supervise, until standard input ends."""
    before = memory()
    async with ConnectionManager() as manager:
        manager.register_connection_type("watched", Watched)
        await manager.load(path)
        assert manager.config is not None
        Watched.interval = manager.config.settings.health_check_interval
        manager.on_event("suspended", lambda _: events.update(["suspended"]))
        number = len(manager.connections)
        while count(manager)[ConnectionStatus.CONNECTED] < number:
            await asyncio.sleep(0.5)
        answer(up=number)
        async for command in commands():
            answer(**await obey(command, manager, number, before))


async def obey(command: dict[str, Any], manager: ConnectionManager, number: int, before: int) -> dict[str, object]:
    """The answer to a command."""
    if command["what"] == "measure":
        return await measure(command["start"], command["end"], number, before)
    if command["what"] == "dials":
        return {"times": dials.tolist(), "suspended": events["suspended"]}
    return {status.value: how_many for status, how_many in count(manager).items()}


if __name__ == "__main__":
    raise_file_limit()
    collect_seldom()  # as the daemon does
    with open("/dev/null", "wb") as nowhere, asyncio.Runner(loop_factory=loop_named(sys.argv[1])) as runner:  # noqa: PTH123
        configure(fd=nowhere.fileno())
        runner.run(main(sys.argv[2]))
