"""The invariants that compare whole runs, or count over many connections: 9, 13, 14, 15, 27, 30, 31, 32."""

import ast
import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from connmgr.commands import Command
from connmgr.settings import GlobalSettings, SupervisionSettings
from tests.unit.behaviours import ALL, BAD, GOOD, HANGING
from tests.unit.world import YES, World

CONNMGR = Path(__file__).parents[2] / "connmgr"
FREE = GlobalSettings(dial_rate=100_000, dial_burst=100_000, host_dial_rate=100_000, host_dial_burst=100_000)
BRISK = SupervisionSettings(
    health_check_interval=2, health_check_timeout=1, connection_timeout=3, disconnect_timeout=1,
    reconnect_delay_initial=1, reconnect_delay_max=8, reconnect_max_attempts=4, stable_after=10,
    suspended_probe_interval=15,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def behave(world: World, name: str, how: str) -> None:
    world.devices[name].behaviours = {"connect": ALL[how], "health_check": ALL[how], "disconnect": YES}


def history(seed: int, names: str, settings: SupervisionSettings, limits: GlobalSettings = FREE) -> list[Any]:
    """An eventful quarter of an hour; what happens to a connection depends on the seed and its own name alone."""
    world = World()
    world.limits = limits
    for name in names:
        world.want(name, settings, host=name)
    world.run(world.apply())
    dice = {name: random.Random(f"{seed} {name}") for name in names}
    random.seed(seed)
    for _ in range(60):
        for name in names:
            rng = dice[name]
            if rng.random() < 0.3:
                behave(world, name, rng.choice(sorted(GOOD) * 4 + sorted({**BAD, **HANGING})))
            if rng.random() < 0.1:
                world.command(name, rng.choice(list(Command)))
            if rng.random() < 0.1:
                world.report_loss(name, session=rng.randint(-1, 2), in_thread=False, reason="unplugged")
        world.pass_time(15)
    trace = world.monitor.trace
    assert not world.close()
    return trace


@pytest.mark.parametrize("seed", range(5))
def test_31_the_same_seed_gives_the_same_history(seed: int) -> None:
    """Two runs from one seed, jitter included, are the same to the last digit."""
    first, second = (history(seed, "abc", BRISK, GlobalSettings()) for _ in range(2))
    assert len(first) > 500
    assert first == second


@pytest.mark.parametrize("seed", range(5))
def test_9_neighbours_do_not_matter(seed: int) -> None:
    """Without dial limits, a connection's history is the same with and without others beside it."""
    exact = BRISK.model_copy(update={"reconnect_jitter": 0.0})
    together = [step for step in history(seed, "abcd", exact) if step[1] == "a"]
    assert together == history(seed, "a", exact)


@pytest.mark.parametrize("how", ["yes", "refuse", "hang", "wrong password"])
@pytest.mark.parametrize(
    "old", [{"auto_reconnect": False}, {"suspended_probe_interval": 0}, {"reconnect_max_attempts": 0},
            {"health_check_interval": 3600, "stable_after": 3600},
            {"reconnect_delay_initial": 3600, "reconnect_delay_max": 3600}, {"reconnect_max_attempts": 1}],
)  # fmt: skip
def test_32_a_live_change_ends_where_a_fresh_start_does(how: str, old: dict[str, float]) -> None:
    """Settings changed while it runs lead to the same status and rhythm as if it had been started with them."""
    ends: list[Any] = []
    for before in (BRISK.model_copy(update=old), BRISK):
        world = World()
        world.want("a", before)
        world.run(world.apply())
        behave(world, "a", how)
        world.pass_time(500)
        world.want("a", BRISK)
        world.run(world.apply())
        world.pass_time(500)
        recent = [step for step in world.monitor.trace if step[0] > world.now - 300 and len(step) == 3]
        rhythm = Counter(step[2] for step in recent)
        ends.append((world.monitor.models["a"].status, {call: round(times, -1) for call, times in rhythm.items()}))
        behave(world, "a", "yes")
        world.pass_time(30)
        ends.append(world.monitor.models["a"].status)
        assert not world.close()
    assert ends[:2] == ends[2:]


def test_15_checks_are_spread() -> None:
    """The checks of equal connections that came up together are spread over the interval."""
    world, n, interval = World(), 300, 30
    world.limits = FREE
    for i in range(n):
        world.want(f"plc-{i}", SupervisionSettings(health_check_interval=interval), host=str(i))
    world.run(world.apply())
    world.pass_time(3 * interval)
    buckets = Counter(int(step[0]) for step in world.monitor.trace if step[2] == "health_check" and len(step) == 3)
    assert sum(buckets.values()) == pytest.approx(3 * n, abs=n)
    assert max(buckets.values()) <= 2 * n / interval + 5
    assert not world.close()


def test_12_13_14_27_a_common_outage() -> None:
    """500 links lost at once: no storm, nobody starves, the sum of dials is bounded, and all are back in time."""
    world, n, length = World(), 500, 3600.0
    settings = SupervisionSettings(reconnect_max_attempts=0, health_check_interval=600)
    world.limits = limits = GlobalSettings(host_dial_rate=1, host_dial_burst=2)
    for i in range(n):
        world.want(f"plc-{i}", settings, host=f"h{i % 100}")
    world.run(world.apply())
    world.pass_time(600)
    assert {model.status for model in world.monitor.models.values()} == {"connected"}
    start, seen = world.now, len(world.monitor.trace)
    for name in world.owned():
        behave(world, name, "refuse")
        world.probe(name).connection_lost("the switch is off")
    world.pass_time(length)
    dials: dict[str, list[float]] = {name: [start] for name in world.owned()}
    for step in world.monitor.trace[seen:]:
        if len(step) == 3 and step[2] == "connect":
            dials[step[1]].append(step[0])
    cap, jitter, rate = settings.reconnect_delay_max, settings.reconnect_jitter, limits.dial_rate
    most = length / (cap * (1 - jitter)) + math.log(cap / settings.reconnect_delay_initial, 1.5) + 2
    assert sum(len(times) - 1 for times in dials.values()) <= n * most
    starving = max(later - at for times in dials.values() for at, later in pairwise(times))
    assert starving <= n / rate + cap + 1
    for name in world.owned():
        behave(world, name, "yes")
    world.pass_time(cap + n / rate)
    assert {model.status for model in world.monitor.models.values()} == {"connected"}
    assert not world.close()  # which tells of every window with more dials than allowed: invariant 12


def wall_clock_uses(module: Path) -> Iterator[str]:
    """Every use of the wall clock in a module, by the statement it stands in."""
    tree = ast.parse(module.read_text())
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.stmt):
            continue
        if any(isinstance(inner, ast.stmt) for inner in ast.walk(statement) if inner is not statement):
            continue
        text = ast.unparse(statement)
        if any(clock in text for clock in ("time.time", "datetime.now", "localtime", "gmtime", "utcnow")):
            yield text


def test_30_no_decision_reads_the_wall_clock() -> None:
    """The wall clock is read to tell people when something happened, and in no comparison: it may step by years."""
    modules = ("alarm", "backoff", "calls", "dialing", "edge_log", "events", "health_schedule", "link", "link_quality",
               "record", "supervisor", "connection")  # fmt: skip
    uses = [use for name in modules for use in wall_clock_uses(CONNMGR / f"{name}.py")]
    told = ("self.since = time.time()", "(self.status, self.since) = (status, time.time())",
            "self.status, self.since = (status, time.time())", "stats['last_activity'] = time.time()")  # fmt: skip
    assert [use for use in uses if use not in told and "at=time.time_ns()" not in use] == []
    assert len(uses) >= 3
    supervisor = (CONNMGR / "supervisor.py").read_text()
    reads = [line.strip() for line in supervisor.splitlines() if "self.since" in line and "self.since =" not in line]
    assert all("connected_at = self.since" in line or "self.status, self.since = " in line for line in reads)


def test_28_a_standstill_is_an_error() -> None:
    """The clock these tests run on raises when nothing is left to wait for, so that a deadlock cannot pass unseen."""
    world = World()

    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        world.run(wait())
    for task in asyncio.all_tasks(world.loop):
        task.cancel()
    world.pass_time(0)
    world.close()
