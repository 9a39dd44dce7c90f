"""One connection of 100 hangs: what the other 99 notice of it.

The figure is from the time a health check was due to its answer: late starts and slow answers alike. Each way to hang
is measured twice with and twice without, in turns. Noise is what the samples without differ by among themselves.
"""

import asyncio
import time
from array import array
from typing import ClassVar

from benchmarks.child import Child
from benchmarks.machine import late, percentile
from benchmarks.managed import managed
from benchmarks.report import Row, main, say
from connmgr import BaseConnection, ConnectionManager, ConnectionStatus
from connmgr_tcp import TcpConnection

HEALTHY = 99
INTERVAL = 0.2
SETTINGS = {
    "health_check_interval": INTERVAL,
    "health_check_timeout": 0.5,
    "connection_timeout": 0.5,
    "disconnect_timeout": 0.5,
    "reconnect_delay_initial": 0.1,
    "reconnect_delay_max": 0.1,
    "reconnect_max_attempts": 0,
    "dial_rate": 1000.0,
    "host_dial_rate": 1000.0,
}
BEHAVIOURS = ("silent", "trickle", "half_open", "garbage", "endless", "hangs_up")

delays = array("d")


class Timed(TcpConnection):
    """Notes how long after its slot each check was answered."""

    async def health_check(self) -> bool:
        due = time.monotonic() - late(self.connection_id, INTERVAL, time.monotonic())
        answered = await super().health_check()
        delays.append(time.monotonic() - due)
        return answered


class Sleeper(BaseConnection):
    """Plain methods, one of which never returns."""

    def connect(self) -> bool:
        return True

    def disconnect(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return True

    def health_check(self) -> bool:
        time.sleep(3600)
        return True


class Stubborn(BaseConnection):
    """Will not be cancelled, until all is over."""

    over: ClassVar[bool] = False

    async def connect(self) -> bool:
        return True

    async def disconnect(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return True

    async def health_check(self) -> bool:
        while not self.over:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue
        return True


async def measure(quick: bool) -> list[Row]:
    """Every way to hang."""
    seconds = 0.4 if quick else 2.0
    types = {"timed": Timed, "sleeper": Sleeper, "stubborn": Stubborn}
    async with Child("benchmarks.server", 0, "127.0.0.1") as server, Child("benchmarks.bad_peers") as bad:
        check = {"send": "PING\n", "expect": "PONG"}
        good = {"host": "127.0.0.1", "port": (await server.told())["port"], "health_check": check}
        ports = await bad.told()
        configs: dict[str, object] = {f"device-{index}": good for index in range(HEALTHY)}
        for name in BEHAVIOURS:
            configs[name] = ("tcp", {**good, "port": ports[name], "timeout": 0.4})
        configs |= {"plain_method_that_sleeps": ("sleeper", {}), "eats_its_cancellation": ("stubborn", {})}
        async with managed("timed", configs, SETTINGS, types) as manager:
            rows = await turns(manager, [name for name in configs if configs[name] is not good], seconds)
            Stubborn.over = True
    return rows


async def turns(manager: ConnectionManager, ways: list[str], seconds: float) -> list[Row]:
    """Each way in turn."""
    for name in ways:
        manager.post(name, "disconnect")
    while sum(each.status is ConnectionStatus.CONNECTED for each in manager.connections.values()) < HEALTHY:
        await asyncio.sleep(0.05)
    await asyncio.sleep(2 * INTERVAL)
    found: dict[str, tuple[list[float], list[float], int]] = {}
    noise: list[float] = []
    for name in ways:
        say(f"one of {HEALTHY + 1}: {name}")
        without: list[float] = []
        with_it: list[float] = []
        for _ in range(2):
            quiet = await sample(seconds)
            noise.append(percentile(quiet, 0.99))
            without += quiet
            manager.post(name, "connect")
            with_it += await sample(seconds)
            manager.post(name, "disconnect")
            await asyncio.sleep(0.2)
        lost = [key for key, each in manager.connections.items() if isinstance(each, Timed) and not each.is_connected()]
        found[name] = (without, with_it, len(lost))
    return [row(name.replace("_", " "), *figures, noise) for name, figures in found.items()]


async def sample(seconds: float) -> list[float]:
    """The delays of all checks within some seconds, in milliseconds."""
    del delays[:]
    await asyncio.sleep(seconds)
    return [1000 * delay for delay in delays]


def row(name: str, without: list[float], with_it: list[float], lost: int, noise: list[float]) -> Row:
    """Side by side."""
    before, after = percentile(without, 0.99), percentile(with_it, 0.99)
    medians = f"median {percentile(without, 0.5):.1f} and {percentile(with_it, 0.5):.1f} ms"
    return Row(
        f"one of 100 hangs: {name}; p99 of the others' checks",
        f"{before:.1f} ms without, {after:.1f} ms with ({medians}; {lost} lost)",
        f"within the noise: {min(noise):.1f} to {max(noise):.1f} ms without",
        after <= max(noise) and not lost,
    )


if __name__ == "__main__":
    main(measure)
