"""A common outage: the server of many connections is killed and comes back. Nobody may storm it, all must return."""

import asyncio
import time
from collections.abc import Sequence

from benchmarks.child import Child
from benchmarks.devices import HOSTS, connections_json
from benchmarks.report import Row, main, say

RATE, BURST = 500, 50
LONGEST_PAUSE, JITTER = 10.0, 0.1
MARGIN = 2.0  # seconds for the connects themselves, the polling here, and a machine that is busy with 10,000 sockets

SETTINGS: dict[str, object] = {
    "dial_rate": RATE,
    "dial_burst": BURST,
    "host_dial_rate": RATE / 4,  # 8 hosts: so the overall limit is the one that counts
    "host_dial_burst": BURST,
    "reconnect_delay_initial": 1.0,
    "reconnect_delay_max": LONGEST_PAUSE,
    "reconnect_jitter": JITTER,
    "reconnect_max_attempts": 0,  # a machine room that comes back after a day must find its connections trying
    "health_check_interval": 10.0,
}


async def measure(quick: bool) -> list[Row]:
    """Kill, wait, restart, and count."""
    number, away = (1000, 2.0) if quick else (10_000, 10.0)
    async with Child("benchmarks.server", 0, *HOSTS) as server:
        port = (await server.told())["port"]
        with connections_json(number, port, SETTINGS) as path:
            async with Child("benchmarks.fleet", "uvloop", path) as fleet:
                await fleet.told()
                say(f"{number:,} are connected; the server is killed for {away:g} s")
                began = len((await fleet.ask("dials"))["times"])
                await server.kill()
                await asyncio.sleep(away)
                lost = number - (await fleet.ask("states")).get("connected", 0)
                async with Child("benchmarks.server", port, *HOSTS) as again:
                    await again.told()
                    say("it is back")
                    seconds, states = await until_connected(fleet, number)
                    accepted = (await again.ask("accepted"))["times"]
                dials = await fleet.ask("dials")
    return rows(number, lost, seconds, states, dials["times"][began:], accepted, suspended=dials["suspended"])


async def until_connected(fleet: Child, number: int) -> tuple[float, dict[str, int]]:
    """Seconds until all are back, and the last count by status."""
    started = time.monotonic()
    while True:
        states: dict[str, int] = await fleet.ask("states")
        seconds = time.monotonic() - started
        if states.get("connected", 0) == number or seconds > 120:
            return seconds, states
        await asyncio.sleep(0.1)


def above_limit(times: Sequence[float]) -> float:
    """By how many dials the limit was exceeded, at worst, over any stretch of time whatever; 0 or less: never."""
    worst, credit = -1.0, float("inf")
    for index, at in enumerate(times):
        credit = min(credit, index - RATE * at)  # the stretch that begins with the dial for which this is least
        worst = max(worst, index + 1 - RATE * at - credit - BURST)
    return worst


def busiest_second(times: Sequence[float]) -> int:
    """The most within any one second."""
    first, most = 0, 0
    for index, at in enumerate(times):
        while at - times[first] >= 1:
            first += 1
        most = max(most, index + 1 - first)
    return most


def rows(
    number: int,
    lost: int,
    seconds: float,
    states: dict[str, int],
    dials: Sequence[float],
    accepted: Sequence[float],
    *,
    suspended: int,
) -> list[Row]:
    """The rows of the table."""
    what, limit = f"common outage of {number:,}", BURST + RATE
    allowed = LONGEST_PAUSE * (1 + JITTER) + number / RATE + MARGIN
    over = above_limit(dials)
    back = states.get("connected", 0)
    return [
        Row(
            f"{what}: dials in the busiest second, of {len(dials):,}",
            f"{busiest_second(dials)} begun, {busiest_second(accepted)} accepted by the server; "
            f"limit exceeded by {max(over, 0):.2f} dials at worst",
            f"{limit} (a burst of {BURST}, and {RATE} a second)",
            # A dial is granted in one turn of the loop and counted in the next: one of them may seem early.
            over <= 1 and busiest_second(dials) <= limit,
        ),
        Row(
            f"{what}: all back after the server's return",
            f"{back:,} of {lost:,} lost, within {seconds:.1f} s",
            f"{allowed:.0f} s (the longest pause, and {RATE} a second)",
            back == number and lost == number and seconds <= allowed,
        ),
        Row(f"{what}: suspended", f"{suspended}", "0", suspended + states.get("suspended", 0) == 0),
    ]


if __name__ == "__main__":
    main(measure)
