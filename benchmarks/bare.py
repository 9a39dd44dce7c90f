"""What a careful programmer would write without connmgr: the same connections, the same checks. A process of its own.

    python -m benchmarks.bare LOOP CONNECTIONS_JSON

One task for each connection, asyncio's streams, a deadline for each check, the same schedule of checks. Nothing is
reconnected, counted, logged or told. Says `{"up": n}` when all are connected; the command `measure` is as in `fleet`.
"""

import asyncio
import json
import math
import sys
import time
import zlib
from array import array
from pathlib import Path
from typing import Any

from benchmarks.child import answer, commands
from benchmarks.machine import late, loop_named, memory, percentile, raise_file_limit

lateness = array("d")


async def keep(name: str, host: str, port: int, interval: float, up: asyncio.Semaphore) -> None:
    """Open one connection, and check it for ever."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(host, port)
    await check(reader, writer)
    up.release()
    loop = asyncio.get_running_loop()
    phase = zlib.crc32(name.encode()) / 2**32 * interval
    due = (math.floor((loop.time() - phase) / interval) + 1) * interval + phase
    while True:
        await asyncio.sleep(due - loop.time())
        due += interval
        lateness.append(late(name, interval, time.monotonic()))
        await check(reader, writer)


async def check(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask, and look at the answer."""
    async with asyncio.timeout(5):
        writer.write(b"PING\n")
        await writer.drain()
        if b"PONG" not in await reader.readline():
            raise ConnectionError("no PONG")


async def main(config: dict[str, Any], before: int) -> None:
    """Keep the connections of a connections.json, until standard input ends."""
    interval = config["settings"]["health_check_interval"]
    up, tasks = asyncio.Semaphore(0), []
    for name, entry in config["connections"].items():
        where = entry["config"]
        tasks.append(asyncio.create_task(keep(name, where["host"], where["port"], interval, up)))
        if len(tasks) % 50 == 0:
            await asyncio.sleep(50 / config["settings"]["dial_rate"])
    for _ in tasks:
        await up.acquire()
    answer(up=len(tasks))
    config.clear()
    async for command in commands():
        await asyncio.sleep(command["start"] - time.monotonic())
        del lateness[:]
        cpu = time.process_time()
        await asyncio.sleep(command["end"] - time.monotonic())
        cpu, found = time.process_time() - cpu, lateness[:]
        answer(
            cpu=cpu,
            checks=len(found),
            late_p99=percentile(found, 0.99),
            late_max=max(found, default=0.0),
            memory=(memory() - before) / len(tasks),
        )


if __name__ == "__main__":
    raise_file_limit()
    with asyncio.Runner(loop_factory=loop_named(sys.argv[1])) as runner:
        baseline = memory()
        runner.run(main(json.loads(Path(sys.argv[2]).read_text()), baseline))
