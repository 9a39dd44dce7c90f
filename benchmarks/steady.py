"""Many healthy connections: what supervision costs, beside a bare asyncio program that does the same.

Both run at the same time, each with devices of its own, so that what else the machine does concerns both alike.
"""

import asyncio
import time
from typing import Any

from benchmarks.child import Child
from benchmarks.devices import HOSTS, connections_json
from benchmarks.report import Row, main, say

CPU, MEMORY, LATE = 2.0, 12.0, 100.0  # targets: times, KiB a connection, milliseconds


async def measure(quick: bool) -> list[Row]:
    """CPU, memory and lateness, with both loops."""
    rows: list[Row] = []
    for loop in ("uvloop", "asyncio"):
        rows += await side_by_side(loop, 1000 if quick else 10_000, 1.0 if quick else 10.0, 4.0 if quick else 50.0)
    return rows


async def side_by_side(loop: str, number: int, interval: float, seconds: float) -> list[Row]:
    """connmgr and the bare program, with one loop."""
    settings: dict[str, object] = {"health_check_interval": interval, "dial_rate": 1000, "dial_burst": 50}
    settings |= {"host_dial_rate": 1000, "host_dial_burst": 50}
    say(f"{number:,} connections, a check every {interval:g} s, {loop}")
    async with Child("benchmarks.server", 0, *HOSTS) as first, Child("benchmarks.server", 0, *HOSTS) as second:
        ports = [(await server.told())["port"] for server in (first, second)]
        with (
            connections_json(number, ports[0], settings) as supervised,
            connections_json(number, ports[1], settings) as plain,
        ):
            async with (
                Child("benchmarks.fleet", loop, supervised) as fleet,
                Child("benchmarks.bare", loop, plain) as bare,
            ):
                await asyncio.gather(fleet.told(), bare.told())
                start = time.monotonic() + 2 * interval  # the first check is due an interval after the connect
                end = start + seconds
                say(f"all are connected; measuring for {seconds:g} s")
                found = await asyncio.gather(*(each.ask("measure", start=start, end=end) for each in (fleet, bare)))
    return compared(f"{number:,} TCP, {loop}", number * seconds / interval, *found)


def compared(what: str, planned: float, ours: dict[str, Any], bare: dict[str, Any]) -> list[Row]:
    """The rows of one comparison."""
    ratio = ours["cpu"] / bare["cpu"]
    above = (ours["memory"] - bare["memory"]) / 1024
    worst = ours["late_max"] * 1000
    micro = [1e6 * each["cpu"] / each["checks"] for each in (ours, bare)]
    memory = f"{ours['memory'] / 1024:.1f}, bare {bare['memory'] / 1024:.1f}"
    lateness = [f"{1000 * each['late_p99']:.1f} ms" for each in (ours, bare)]
    return [
        Row(
            f"{what}: CPU against a bare program",
            f"{ratio:.2f} times ({micro[0]:.0f} µs a check, bare {micro[1]:.0f} µs)",
            f"{CPU:g} times",
            ratio <= CPU,
        ),
        Row(
            f"{what}: memory above a bare program",
            f"{above:.1f} KiB a connection ({memory})",
            f"{MEMORY:g} KiB",
            above <= MEMORY,
        ),
        Row(
            f"{what}: worst lateness of {ours['checks']:,} checks ({planned:,.0f} planned)",
            f"{worst:.0f} ms (p99 {lateness[0]}; bare: worst {bare['late_max'] * 1000:.0f} ms, p99 {lateness[1]})",
            f"{LATE:g} ms",
            worst <= LATE and ours["checks"] >= planned - 2 * planned / 100,
        ),
    ]


if __name__ == "__main__":
    main(measure)
