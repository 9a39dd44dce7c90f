"""Whatever devices, plugins, people and subscribers do, the supervisors keep their promises (see monitor.py).

With hypothesis' profile `ci` (which CI=true selects) 2,000 runs of 50 steps, else 200; STATE_MACHINE_RUNS makes it any
other number.
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from connmgr import BaseConnection, RefusedError
from connmgr.commands import Command
from connmgr.settings import GlobalSettings, SupervisionSettings
from tests.unit.behaviours import ALL, BAD, DROPPING, GOOD, HANGING
from tests.unit.world import YES, World

PROFILES = [
    SupervisionSettings(**settings)
    for settings in (
        {},
        {
            "health_check_interval": 1, "health_check_timeout": 0.5, "connection_timeout": 2, "disconnect_timeout": 1,
            "reconnect_delay_initial": 0.5, "reconnect_delay_multiplier": 2, "reconnect_delay_max": 4,
            "reconnect_jitter": 0, "reconnect_max_attempts": 3, "stable_after": 5, "suspended_probe_interval": 20,
        },
        {
            "health_check_interval": 1, "health_check_failures": 3,
            "reconnect_delay_initial": 1, "reconnect_jitter": 0.5,
            "reconnect_delay_multiplier": 1, "reconnect_delay_max": 1, "reconnect_max_attempts": 0,
        },
        {"auto_reconnect": False, "health_check_interval": 10},
        {"reconnect_max_attempts": 1, "suspended_probe_interval": 0, "stable_after": 0},
        {
            "health_check_interval": 3600, "stable_after": 3600, "reconnect_delay_initial": 60,
            "reconnect_delay_max": 3600, "reconnect_delay_multiplier": 10, "reconnect_max_attempts": 4,
        },
    )
]  # fmt: skip
LIMITS = [
    GlobalSettings(dial_rate=rate, dial_burst=burst, host_dial_rate=host_rate, host_dial_burst=host_burst)
    for rate, burst, host_rate, host_burst in ((10, 20, 5, 10), (1, 1, 1, 1), (0.5, 2, 100, 100), (100, 100, 0.2, 1))
]
DURATIONS = [0.0, 0.01, 0.05, 0.3, 0.5, 1.0, 2.5, 7.0, 20.0, 61.0, 305.0, 3600.0, 86400.0]
MOST_CHECKS = 20  # in one step: a day of checks every second would only take long
NAMES = ["a", "b", "c", "d"]
REASONS = ["unplugged", ""]

names = st.sampled_from(NAMES)
any_way = st.one_of(*(st.sampled_from(sorted(ways)) for ways in (GOOD, BAD, BAD, HANGING, DROPPING)))
mostly_good = st.one_of(*(st.sampled_from(sorted(ways)) for ways in (GOOD, BAD, HANGING)))
several = st.lists(any_way, min_size=1, max_size=4)
moments = st.sampled_from([0.1, 1.0, 2.5, 7.0, 20.0, 61.0])
profiles = st.sampled_from(range(len(PROFILES)))  # by number: failing runs are printed


class Supervision(RuleBasedStateMachine):
    """Up to four connections to two hosts behind one dial limiter."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.limits = LIMITS[0]
        for name, profile in zip(NAMES, PROFILES[1:3], strict=False):
            self.world.want(name, profile)
        self.world.run(self.world.apply())
        self.heard: list[tuple[list[str], int, str]] = []

    def pick(self, choice: str) -> str | None:
        """The connection of that name if it has an owner at work, else any that has."""
        owned = self.world.owned()
        return choice if choice in owned else owned[0] if owned else None

    # --- configuration

    @rule(
        name=names,
        profile=profiles,
        host=st.sampled_from(["h1", "h2"]),
        enabled=st.sampled_from([True, True, False]),
        n=st.sampled_from([0, 0, 1]),
        wait=st.booleans(),
    )
    def configure(self, name: str, profile: int, host: str, enabled: bool, n: int, wait: bool) -> None:
        self.world.want(name, PROFILES[profile], host=host, enabled=enabled, n=n)
        self.reload(wait)

    @rule(name=names, profile=profiles)
    def change_settings(self, name: str, profile: int) -> None:
        old = self.world.wanted.get(name)
        if old is not None:
            n = int(old.fingerprint[-1])
            self.world.want(name, PROFILES[profile], host=old.config["host"], enabled=old.enabled, n=n)
            self.reload(wait=True)

    @rule(name=names, wait=st.booleans())
    def remove(self, name: str, wait: bool) -> None:
        self.world.wanted.pop(name, None)
        self.reload(wait)

    @rule(limits=st.sampled_from(range(len(LIMITS))))
    def change_limits(self, limits: int) -> None:
        self.world.limits = LIMITS[limits]
        self.reload(wait=True)

    def reload(self, wait: bool) -> None:
        if wait:
            self.world.run(self.world.apply())
        else:
            self.world.start(self.world.apply())

    # --- people

    @rule(name=names, command=st.sampled_from(list(Command)), seconds=moments)
    def command(self, name: str, command: Command, seconds: float) -> None:
        if (found := self.pick(name)) is not None:
            self.world.command(found, command)
            self.pass_time(seconds - 0.1)

    @rule(name=names, command=st.sampled_from(list(Command)))
    def command_twice(self, name: str, command: Command) -> None:
        """Invariant 20: asking twice is asking once."""
        if (found := self.pick(name)) is None:
            return
        self.world.command(found, command)
        self.world.pass_time(0)
        self.world.pass_time(0)
        seq, status = self.world.manager.events.seq, self.world.monitor.models[found].status
        settled = {Command.DISCONNECT: "disconnected", Command.SUSPEND: "suspended"}.get(command, "connected")
        entry = self.world.manager._entries.get(found)
        supervisor = entry.supervisor if entry is not None else None
        quiet = not self.world.background and not (supervisor is not None and supervisor._redial)  # asked for before
        if quiet and status == settled and command is not Command.RECONNECT and found in self.world.owned():
            self.world.command(found, command)
            self.world.pass_time(0)
            again = [event.event for event in self.world.manager.events.after(seq) if event.connection_id == found]
            assert not [event for event in again if event != "error"], f"invariant 20: {command} again: {again}"

    @rule(name=names)
    def cancel_owner(self, name: str) -> None:
        """Invariant 19: cancelled anywhere, it ends disconnected, within its deadlines."""
        if (found := self.pick(name)) is None:
            return
        task = self.world.manager._entries[found].task
        assert task is not None
        self.world.cancel_owner(found)
        timeout = self.world.monitor.models[found].settings.disconnect_timeout
        self.world.run(asyncio.wait([task], timeout=timeout + 1.5))
        assert task.done(), f"invariant 19: the owner of {found} did not end"
        self.world.wanted.pop(found, None)
        self.reload(wait=True)

    # --- devices and plugins

    @rule(name=names, connect=several, check=several, disconnect=st.lists(mostly_good, max_size=2), seconds=moments)
    def misbehave(self, name: str, connect: list[str], check: list[str], disconnect: list[str], seconds: float) -> None:
        """The next calls behave like that, one after the other; then all is as before."""
        device = self.world.devices.get(name)
        if device is not None:
            scripts = {"connect": connect, "health_check": check, "disconnect": disconnect}
            device.then = {method: [ALL[how] for how in script] for method, script in scripts.items()}
            if name in self.world.owned():
                self.world.command(name, Command.RECONNECT)
            self.pass_time(seconds)

    @rule(name=names, answers=st.lists(st.booleans(), min_size=3, max_size=8), seconds=moments)
    def waver(self, name: str, answers: list[bool], seconds: float) -> None:
        """Health checks fail now and then."""
        device = self.world.devices.get(name)
        if device is not None:
            device.then["health_check"] = [ALL["yes" if good else "False"] for good in answers]
            self.pass_time(seconds)

    @rule(name=names, connect=any_way, check=any_way, seconds=moments)
    def change_for_good(self, name: str, connect: str, check: str, seconds: float) -> None:
        self.behave(name, connect, check, "yes")
        self.pass_time(seconds)

    @rule(name=names, how=st.sampled_from(["refuse", "hang", "drop soon", "slow no"]))
    def go_down(self, name: str, how: str) -> None:
        self.behave(name, how, how, "yes")

    @rule(name=names, check=st.sampled_from(sorted(GOOD)))
    def come_up(self, name: str, check: str) -> None:
        self.behave(name, "yes", check, "yes")

    def behave(self, name: str, connect: str, check: str, disconnect: str) -> None:
        device = self.world.devices.get(name)
        if device is not None:
            device.behaviours = {"connect": ALL[connect], "health_check": ALL[check], "disconnect": ALL[disconnect]}

    @rule()
    def let_zombies_go(self) -> None:
        self.world.let_go.set()
        self.world.pass_time(0)
        self.world.let_go.clear()

    @rule(name=names, session=st.integers(-1, 2), in_thread=st.booleans(), reason=st.sampled_from(REASONS))
    def report_loss(self, name: str, session: int, in_thread: bool, reason: Any) -> None:
        if (found := self.pick(name)) is not None:
            self.world.report_loss(found, session=session, in_thread=in_thread, reason=reason)

    @rule(name=names, in_thread=st.booleans())
    def report_old_losses(self, name: str, in_thread: bool) -> None:
        """Everything that earlier sessions have left behind speaks up."""
        if (found := self.pick(name)) is not None:
            for session in range(len(self.world.probe(found).sessions) - 1):
                self.world.report_loss(found, session=session, in_thread=in_thread, reason="old news")

    @rule(how=st.sampled_from(["reconnect", "loss"]))
    def all_at_once(self, how: str) -> None:
        for name in self.world.owned():
            if how == "reconnect":
                self.world.command(name, Command.RECONNECT)
            else:
                self.world.report_loss(name, session=-1, in_thread=False, reason="the switch is off")

    @rule(
        name=names,
        seconds=st.sampled_from([0.0, 0.2, 2.0]),
        error=st.sampled_from([None, None, RefusedError("no"), ValueError("half an answer")]),
    )
    def exchange(self, name: str, seconds: float, error: BaseException | None) -> None:
        if (found := self.pick(name)) is not None:
            self.world.start(self.world.exchange(self.world.probe(found), seconds, 1.0, error))

    @rule(name=names)
    def traffic(self, name: str) -> None:
        if (found := self.pick(name)) is not None:
            self.world.probe(found).update_stats(packets_received=1)

    # --- subscribers

    @precondition(lambda self: len(self.heard) < 3)
    @rule(event=st.sampled_from(["*", "connected", "error"]), how=st.sampled_from(["slow", "raise", "hang", "exit"]))
    def subscribe(self, event: str, how: str) -> None:
        heard: list[str] = []

        async def listen(connection: BaseConnection) -> None:
            heard.append(connection.connection_id)

        async def trouble(connection: BaseConnection) -> None:
            await asyncio.sleep({"slow": 5, "hang": 1e9}.get(how, 0))
            raise {"raise": ValueError, "exit": SystemExit}.get(how, KeyError)

        self.world.manager.on_event(event, trouble)
        self.world.manager.on_event(event, listen)
        self.heard.append((heard, self.world.manager.events.seq, event))

    # --- time

    @rule(seconds=st.sampled_from(DURATIONS))
    def pass_time(self, seconds: float) -> None:
        intervals = [model.settings.health_check_interval for model in self.world.monitor.models.values()]
        pauses = [model.settings.reconnect_delay_max for model in self.world.monitor.models.values()]
        self.world.pass_time(min([seconds, *(MOST_CHECKS * least for least in intervals + pauses)]))

    # --- what holds

    @invariant()
    def promises(self) -> None:
        self.world.monitor.check()
        assert not self.world.monitor.broken, "\n".join(self.world.monitor.broken)

    def hear(self) -> None:
        """Invariant 25: in order, whatever other subscribers do."""
        for heard, seq, event in self.heard:
            expected = [e.connection_id for e in self.world.manager.events.after(seq) if event in ("*", e.event)]
            assert heard == expected, f"invariant 25: {heard} instead of {expected}"

    def teardown(self) -> None:
        self.world.let_go.set()
        try:
            self.promises()
            self.heal()
        finally:
            broken = self.world.close()
        assert not broken, "\n".join(broken)

    def heal(self) -> None:
        """Invariant 27: when everything works again, everything is connected that may be."""
        for device in self.world.devices.values():
            device.then.clear()
            device.behaviours = dict.fromkeys(("connect", "health_check", "disconnect"), YES)
        for task in list(self.world.background):
            self.world.run(asyncio.wait([task], timeout=100))
        self.world.limits = LIMITS[0]
        self.reload(wait=True)
        models = [(name, self.world.monitor.models[name]) for name in self.world.owned()]
        longest = [0.0]
        for _, model in models:
            s = model.settings
            longest.append(s.reconnect_delay_max + s.connection_timeout + s.disconnect_timeout)
            longest.append(s.suspended_probe_interval + s.connection_timeout + s.disconnect_timeout)
        self.world.pass_time(max(longest) + 20)
        self.promises()
        for name, model in models:
            manual = model.status == "suspended" and (model.by_command or not model.settings.suspended_probe_interval)
            given_up = model.status in ("error", "suspended") and not model.settings.auto_reconnect
            if model.goal == "up" and not given_up and not manual:
                assert model.status == "connected", f"invariant 27: {name} is still {model.status}: {model}"
        self.hear()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


RUNS = os.environ.get("STATE_MACHINE_RUNS") or (2000 if settings.get_current_profile_name() == "ci" else 200)
Supervision.TestCase.settings = settings(
    max_examples=int(RUNS),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),  # Phase.explain takes minutes here
)
TestSupervision = pytest.mark.timeout(0)(Supervision.TestCase)
