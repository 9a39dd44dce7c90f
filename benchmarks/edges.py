"""How soon a lost link is seen, and how soon a device that returns is connected: each plugin with its simulator."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from benchmarks.child import Child
from benchmarks.machine import percentile
from benchmarks.managed import PLUGINS, managed
from benchmarks.report import Row, main, say
from connmgr import ConnectionManager
from connmgr.events import Event

TARGET = 100.0  # milliseconds
PATIENCE = 10.0
AWAY = 1.0
HTTP_INTERVAL = 1.0
SETTINGS = {
    "reconnect_delay_initial": 0.2,
    "reconnect_delay_max": 0.8,
    "reconnect_max_attempts": 0,
    "dial_rate": 1000.0,
    "host_dial_rate": 1000.0,
}


async def measure(quick: bool) -> list[Row]:
    """Every plugin, several times."""
    rows: list[Row] = []
    for kind in PLUGINS:
        rows += await edges(kind, 2 if quick else 8)
    return rows


def seen_by(kind: str) -> tuple[str, float]:
    """What sees the loss, and how long it may take in milliseconds.

    A healthy HTTP server closes idle connections, so only a request can tell: the next health check.
    """
    if kind == "http":
        return f" by the next check (one each {HTTP_INTERVAL:g} s)", HTTP_INTERVAL * 1000 + TARGET
    return "", TARGET


async def edges(kind: str, rounds: int) -> list[Row]:
    """One plugin."""
    say(f"{kind}: lost and regained, {rounds} times")
    seen: list[float] = []
    regained: list[float] = []
    async with Child("benchmarks.device", kind) as device:
        config = (await device.told())["config"]
        # Elsewhere the interval is long, so that it is not the check that sees the loss.
        settings = {**SETTINGS, "health_check_interval": HTTP_INTERVAL if kind == "http" else 60.0}
        async with managed(kind, {kind: config}, settings) as manager:
            await event(manager, 0, lambda found: found.new == "connected")
            for _ in range(rounds):
                await asyncio.sleep(0.2)
                seq = manager.events.seq
                stopped = await device.ask("stop")
                lost = await event(manager, seq, lambda found: found.new == "error")
                seen.append((lost.at - stopped["began"]) / 1e6 if lost is not None else PATIENCE * 1000)
                if lost is None:
                    await manager.command(kind, "reconnect")  # else it would be the next check that sees it
                await asyncio.sleep(AWAY)
                regained.append(await regain(manager, device, kind))
    how, target = seen_by(kind)
    return [
        row(f"{kind}: loss seen{how}", seen, target),
        row(f"{kind}: regained, beyond the pause under way", regained, TARGET),
    ]


async def regain(manager: ConnectionManager, device: Child, kind: str) -> float:
    """Milliseconds from the device's return, or the attempt that was due after it, until it is connected."""
    seq = manager.events.seq
    started = await device.ask("start")
    found: dict[str, Any] = manager.describe(kind)
    due: int = max(started["ended"], int((found["next_attempt_at"] or 0) * 1e9))
    back = await event(manager, seq, lambda found: found.new == "connected")
    if back is None:
        return PATIENCE * 1000
    return (back.at - due) / 1e6


async def event(manager: ConnectionManager, seq: int, wanted: Callable[[Event], bool]) -> Event | None:
    """The first event after `seq` that is wanted; None when there is none in time."""
    end = time.monotonic() + PATIENCE
    while (left := end - time.monotonic()) > 0:
        for found in await manager.events.wait(seq, left):
            seq = found.seq
            if wanted(found):
                return found
    return None


def row(what: str, values: list[float], target: float) -> Row:
    """Worst and median of some milliseconds."""
    if max(values) >= PATIENCE * 1000:
        never = sum(value >= PATIENCE * 1000 for value in values)
        return Row(what, f"{never} of {len(values)} not within {PATIENCE:g} s", f"{target:g} ms", met=False)
    text = f"{max(values):.0f} ms at worst, median {percentile(values, 0.5):.0f} ms, of {len(values)}"
    return Row(what, text, f"{target:g} ms", max(values) <= target)


if __name__ == "__main__":
    main(measure)
