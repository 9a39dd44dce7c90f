"""Watches a manager and its plugins from outside and writes down every broken promise, by the number of the invariant.

It keeps its own small model of each connection (statuses, attempts, pauses), fed by the events, the plugin calls and
the commands, and shares no code with the supervisor. The numbers:

1 one call at a time · 2 one disconnect for each connect · 3 no call after disconnect or removal · 4 deadlines ·
5 late and old reports discarded · 6 is_connected() not asked · 8 nothing escapes · 10 backoff ·
11 only stable links are forgiven · 12 dial limits · 16 who rests does not dial · 17 suspension exactly when due ·
18 one probe · 21, 23 health checks · 22 their threshold · 24 events chain · 28 something is always planned

7 (process isolation) needs a plugin host of its own; 26's snapshot is the API's.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connmgr.commands import Command
from connmgr.errors import Kind, judge
from connmgr.events import Event
from connmgr.settings import GlobalSettings, SupervisionSettings
from connmgr.supervisor import Supervisor
from tests.unit.supervision_model import EPSILON, GRACE, WAYS, Level, Model, Played, Track

if TYPE_CHECKING:
    from tests.unit.world import Probe, World


@dataclass(repr=False)
class Monitor:
    """Broken promises are in `broken`; nothing is raised where the supervisor could catch it."""

    world: "World"
    broken: list[str] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)
    trace: list[tuple[Any, ...]] = field(default_factory=list)
    seq: int = 0
    limits: GlobalSettings = field(default_factory=GlobalSettings)
    overall: Level = field(default_factory=lambda: Level(1, 1))
    limited_at: float = 0.0
    hosts: dict[str, Level] = field(default_factory=dict)

    def require(self, condition: object, number: int, what: str) -> None:
        """Note a broken promise."""
        if not condition:
            self.broken.append(f"invariant {number}: {what}")

    # --- settings, commands, ends

    def limit(self, limits: GlobalSettings) -> None:
        """Other dial limits count from now on."""
        self.limits, self.hosts, self.limited_at = limits, {}, self.world.now if self.models else 0.0
        self.overall = Level(limits.dial_rate, limits.dial_burst)

    def opened(self, name: str, supervisor: Supervisor) -> None:
        """A new owner has taken over."""
        old = self.models.get(name)
        self.models[name] = Model(supervisor.settings, status=old.status if old else "disconnected")

    def uses(self, name: str, settings: SupervisionSettings) -> None:
        """An owner goes by other settings."""
        model, now = self.models[name], self.world.now
        model.touch(now)
        if settings.reconnect_delay_max < model.settings.reconnect_delay_max:
            model.asked = True
        if settings.auto_reconnect and not model.settings.auto_reconnect:
            model.asked = True
        if settings.suspended_probe_interval != model.settings.suspended_probe_interval:
            model.asked = True
        model.settings, model.pauses = settings, 0
        model.alive_at = max(model.alive_at, now)
        self.disturbed(name)

    def disturbed(self, name: str) -> None:
        """Something other than checks moved the schedule of checks."""
        entry = self.world.manager._entries.get(name)
        if entry is not None:
            entry.connection.track.disturbed = True  # type: ignore[attr-defined]

    def stopping(self, name: str) -> None:
        """An owner has to end."""
        model = self.models.get(name)
        if model is not None:
            model.touch(self.world.now)
            model.goal = "stopped"

    def command(self, name: str, command: Command, running: Played | None) -> None:
        """A command reached the owner of `name`; `running` is the plugin call it may cut short."""
        model, now = self.models[name], self.world.now
        model.touch(now)
        if model.goal == "stopped":
            return
        if command is Command.DISCONNECT:
            model.goal = "down"
        elif command is Command.SUSPEND:
            model.goal, model.by_command = "suspended", True
        elif model.goal == "suspended" and model.status == "suspended":
            model.goal, model.probing, model.asked, model.by_command = "up", True, True, False
        elif command is not Command.RESUME or model.goal == "suspended":  # a suspension that has not come is taken back
            if model.goal == "down":
                model.forgive()
            model.goal, model.asked = "up", True
            model.ended |= command is Command.RECONNECT and model.status == "connected"
        model.ended |= model.goal != "up"
        if running is not None and running.method != "disconnect" and model.ended:
            running.interrupted = now

    # --- plugin calls

    def started(self, probe: "Probe", method: str) -> Played:
        """A plugin's method has been entered."""
        track, name, now = probe.track, probe.name, self.world.now
        entry = self.world.manager._entries.get(name)
        owner = entry.supervisor if entry is not None and entry.connection is probe else None
        model = self.models[name]
        settings = owner.settings if owner is not None else probe.settings
        self.trace.append((now, name, method))
        self.require(track.running is None, 1, f"{method}() of {name} while {track.running} is running")
        if method == "connect":
            self.require(owner is not None, 3, f"connect() of {name} after its removal")
            self.require(not track.debt, 2, f"connect() of {name} before the disconnect() of the one before")
            self.require(model.status == "connecting", 16, f"connect() of {name}, which is {model.status}")
            self._dialled(probe.host)
            track.debt, track.disturbed, timeout = True, True, settings.connection_timeout
        elif method == "disconnect":
            self.require(track.debt, 3, f"disconnect() of {name} without a connect() before it")
            track.debt, timeout = False, settings.disconnect_timeout
        else:
            timeout = settings.health_check_timeout
            self.require(owner is not None and track.debt, 3, f"health_check() of {name}, which is not open")
            self.require(model.status == "connected", 23, f"health_check() of {name}, which is {model.status}")
            if track.check_at is not None and not track.disturbed:
                steps = (now - track.check_at) / settings.health_check_interval
                self.require(abs(steps - round(steps)) < 1e-3, 21, f"checks of {name} drift: {steps} intervals apart")
                self.require(steps > 0.9, 21, f"checks of {name} come in a burst")
            track.check_at = None if track.disturbed else now
            track.disturbed, model.alive_at = False, now
        track.running = track.last = Played(method, now, timeout)
        return track.running

    def ended(self, probe: "Probe", played: Played, result: object, error: BaseException | None) -> None:
        """A plugin's method has returned."""
        now, model = self.world.now, self.models[probe.name]
        played.ended, played.result, played.error = now, result, error
        probe.track.running = None
        self.trace.append((now, probe.name, played.method, type(error).__name__ if error else type(result).__name__))
        if played.method == "health_check" and played.interrupted is None and model.status == "connected":
            model.misses = 0 if played.good else model.misses

    def _dialled(self, host: str) -> None:
        now = self.world.now
        if now == self.limited_at:  # this dial may have been granted under the old limits
            return
        level = self.hosts.setdefault(host, Level(self.limits.host_dial_rate, self.limits.host_dial_burst))
        self.require(self.overall.add(now), 12, "more dials than the overall limit allows")
        self.require(level.add(now), 12, f"more dials to {host} than its limit allows")

    # --- events

    def event(self, event: Event) -> None:
        """An event was published."""
        name, now = event.connection_id, self.world.now
        model = self.models[name]
        model.touch(now)
        self.trace.append((now, name, event.event, event.old, event.new, event.attempts))
        self.require(event.seq == self.seq + 1, 24, f"event {event.seq} after {self.seq}")
        self.seq = event.seq
        self.require(event.old == model.status, 24, f"{name}: {event.old} -> {event.new} after {model.status}")
        entry = self.world.manager._entries.get(name)
        track: Track = entry.connection.track if entry is not None else Track()  # type: ignore[attr-defined]
        if event.event == "health_check_failed":
            self._check_failed(name, model, track)
            return
        self.require(WAYS.get((event.old, event.new)) == event.event, 24, f"{name}: {event}")
        getattr(self, f"_to_{event.new}")(name, model, track, event)
        model.status, model.since, model.asked, model.must_fail = event.new, now, False, False

    def _check_failed(self, name: str, model: Model, track: Track) -> None:
        self.require(model.status == "connected", 23, f"{name}: a check failed while {model.status}")
        last = track.last
        self.require(last and last.method == "health_check" and not last.good, 22, f"{name}: {last} counted as failed")
        model.misses += 1
        model.must_fail = model.misses >= model.settings.health_check_failures or (last is not None and last.cut_off)

    def _to_connecting(self, name: str, model: Model, track: Track, event: Event) -> None:
        now, asked = self.world.now, model.asked
        if event.old == "suspended" and not model.by_command and model.goal == "suspended":
            due = model.since + model.settings.suspended_probe_interval
            self.require(asked or now >= due - EPSILON, 18, f"{name} is probed before its time")
            model.probing, model.goal = True, "up"
        self.require(model.goal == "up", 16, f"{name} dials though it should be {model.goal}")
        if event.old == "error":
            self.require(asked or not model.must_suspend, 17, f"{name} should have been suspended")
            if model.pause is not None and not asked:
                early = model.since + model.pause[0] - now
                self.require(early < EPSILON, 10, f"{name} dials {early:.3f} s too early")
            self.require(asked or model.pause is not None, 10, f"{name} dials though nobody asked")
        model.connecting_until = now + model.settings.connection_timeout + 1
        model.ended = model.fault = False

    def _to_connected(self, name: str, model: Model, track: Track, event: Event) -> None:
        last = track.last
        good = last is not None and last.method == "connect" and last.good
        late = last is not None and last.interrupted is not None and (last.ended or 0) > last.interrupted + EPSILON
        self.require(good and not late, 5, f"{name} counts as connected after {last}")
        model.up_at = model.alive_at = self.world.now
        model.misses = 0

    def _to_error(self, name: str, model: Model, track: Track, event: Event) -> None:
        now, last, settings = self.world.now, track.last, model.settings
        bad_call = last is not None and not last.good and last.method != "disconnect"
        if event.old == "connected":
            reason = judge(last.error) if bad_call and last is not None and last.error is not None else None
            counted = bad_call and last is not None and last.method == "health_check"
            enough = (
                counted
                and last is not None
                and (
                    model.misses >= settings.health_check_failures
                    or last.cut_off
                    or (reason is not None and reason.kind is Kind.PERMANENT)
                )
            )
            self.require(enough or model.fault, 22, f"{name} counts as lost without a reason: {model} {last}")
            failed_call = enough and not model.fault
        else:
            # Refused because a call was stuck; that call may have returned in this very instant.
            just_back = last is not None and last.ended is not None and last.ended >= now - EPSILON
            stuck = track.running is not None or track.debt or (just_back and not bad_call)
            self.require(bad_call or stuck, 5, f"{name} failed after {last}")
            failed_call = bad_call
        if event.old == "connected" and now >= model.up_at + settings.stable_after - EPSILON:
            model.forgive()
        else:
            model.attempts += 1
        self.require(event.attempts == model.attempts, 11, f"{name}: {event.attempts} attempts, not {model.attempts}")
        cut = last is None or last.cut_off
        failure = judge(last.error) if failed_call and not cut and last is not None and last.error else None
        self._plan(model, failure.kind if failure else None, failure.retry_after if failure else None)

    def _plan(self, model: Model, kind: Kind | None, retry_after: float | None) -> None:
        """What has to follow a failure."""
        settings = model.settings
        model.must_suspend = kind is Kind.PERMANENT or (
            settings.auto_reconnect and (model.probing or 0 < settings.reconnect_max_attempts <= model.attempts)
        )
        if not settings.auto_reconnect:
            model.pause = None
        elif retry_after is not None:
            model.pause = (retry_after, retry_after)
        else:
            delay, cap, jitter = (
                settings.reconnect_delay_initial,
                settings.reconnect_delay_max,
                settings.reconnect_jitter,
            )
            for _ in range(model.pauses):
                delay = min(delay * settings.reconnect_delay_multiplier, cap)
            model.pauses += 1
            model.pause = (min(delay, cap) * (1 - jitter), min(cap, delay * (1 + jitter)))

    def _to_suspended(self, name: str, model: Model, track: Track, event: Event) -> None:
        if model.goal != "suspended":
            self.require(
                event.old == "error" and model.must_suspend, 17, f"{name} is suspended without a reason: {model}"
            )
            model.goal, model.by_command = "suspended", False
        model.probing = False

    def _to_disconnected(self, name: str, model: Model, track: Track, event: Event) -> None:
        wanted = model.goal in ("down", "stopped") or model.ended
        self.require(wanted, 24, f"{name} was disconnected though nobody wanted it")

    # --- at any time

    def check(self) -> None:
        """What has to hold between two steps."""
        self.require(not self.world.escaped, 8, f"escaped: {self.world.escaped}")
        for name, entry in self.world.manager._entries.items():
            supervisor, probe, task = entry.supervisor, entry.connection, entry.task
            if supervisor is None or task is None:
                continue
            self.require(supervisor.crashes == 0, 8, f"the owner of {name} crashed")
            model = self.models[name]
            if model.goal == "stopped":
                continue
            self.require(not task.done(), 8, f"the owner of {name} is gone: {task}")
            self._check_one(name, model, supervisor, probe.track)  # type: ignore[attr-defined]
            self.require(probe.get_status()["status"] == model.status, 24, f"{name} does not say {model.status}")

    def _check_one(self, name: str, model: Model, owner: Supervisor, track: Track) -> None:
        now, settings, running = self.world.now, model.settings, track.running
        if running is not None and now > running.started + running.timeout + GRACE + EPSILON:
            self.require(owner.stuck is not None, 4, f"{name} still waits for {running}")
        planned = owner.next_attempt_in()
        if model.status == "connecting":
            self.require(now <= model.connecting_until, 18, f"{name} has been connecting since {model.since}")
        elif model.status == "connected":
            model.alive_at = max(model.alive_at, owner.link.traffic_at or 0.0)
            late = now - model.alive_at - 1.5 * settings.health_check_interval - settings.health_check_timeout
            self.require(late < 1 or owner.link.busy, 21, f"{name}: no check for {now - model.alive_at} s")
            self.require(not model.must_fail, 22, f"{name} survives {model.misses} failed checks")
            model.touch(now - 1e-3)
            if model.attempts == 0 and now > model.up_at + settings.stable_after + 1e-3:
                self.require(
                    owner.link.attempts == 0, 11, f"{name} is stable and still has {owner.link.attempts} attempts"
                )
        elif model.status == "error" and model.goal == "up" and settings.auto_reconnect and now > model.since:
            just_ended = track.last is not None and track.last.ended == now  # its owner has not looked yet
            closing = just_ended or (running is not None and now <= running.started + running.timeout + GRACE + EPSILON)
            self.require(planned is not None or closing or track.debt, 28, f"{name}: nothing is planned")
            limit = max(model.pause[1] if model.pause else 0.0, settings.reconnect_delay_max)
            self.require(planned is None or planned <= limit + EPSILON, 10, f"{name}: the pause is {planned} s")
        elif model.status == "suspended" and model.goal == "suspended" and now > model.since:
            hopeful = settings.suspended_probe_interval > 0 and settings.auto_reconnect and not model.by_command
            self.require((planned is not None) == hopeful, 28, f"{name}: probe in {planned}, {model}")
