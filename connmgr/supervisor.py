"""The owner of one connection: the task that opens it, watches it, reopens it, and alone changes its status.

Everything that concerns the connection reaches this task as a wake-up: a finished call, a lost link, a command, a
timer. It sleeps on one alarm, calls the plugin in one place (`_call`) and changes status in one (`Record.to`).
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

from connmgr import backoff
from connmgr.alarm import Alarm
from connmgr.calls import Call, Outcome, PluginCalls
from connmgr.commands import Command, Goal
from connmgr.connection import BaseConnection, link_of
from connmgr.dialing import DialLimiter, Ticket
from connmgr.errors import Failure, Kind, describe
from connmgr.events import EventLog
from connmgr.health_schedule import due_after_traffic, next_slot
from connmgr.logs import get_logger
from connmgr.record import Record
from connmgr.settings import SupervisionSettings
from connmgr.states import ConnectionStatus, outlook

BY_COMMAND = "suspended by command"
TICK = 0.001  # seconds that uvloop may wake us too early; to wait for the rest is to spin, for half the CPU of a check

LAST_WORDS = 0.05  # seconds that a health check has to say why, when the link is lost meanwhile

log = get_logger("connmgr.supervisor")


class Supervisor:
    """Owns one connection. `run()` is its task; everything else only leaves a message for it."""

    # One object a connection, and there may be 10,000: without a __dict__ each saves 0.3 KiB.
    __slots__ = (
        "_alarm", "_calls", "_due", "_goal", "_host", "_limiter", "_loop", "_misses", "_moot_at", "_next_at", "_opened",
        "_owes_disconnect", "_pauses", "_probe_at", "_probing", "_redial", "_scrub", "_ticket", "connection",
        "crashes", "link", "record", "settings", "why_suspended",
    )  # fmt: skip

    def __init__(
        self,
        connection: BaseConnection[Any],
        settings: SupervisionSettings,
        *,
        host: str,
        limiter: DialLimiter,
        events: EventLog,
        scrub: Callable[[str], str] = str,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.connection = connection
        self.settings = settings
        self.link = link_of(connection)
        self.link.supervise(self)
        self.record = Record(connection, events, scrub)
        self.why_suspended: str | None = None
        self.crashes = 0
        self._calls = PluginCalls(connection)
        self._host, self._limiter, self._scrub = host, limiter, scrub
        self._alarm = Alarm()
        self._goal = Goal.UP
        self._redial = False
        self._pauses: Iterator[float] | None = None
        self._next_at: float | None = self._loop.time()
        self._probe_at: float | None = None
        self._probing = False
        self._ticket: Ticket | None = None
        self._owes_disconnect = False
        self._opened = self._due = 0.0
        self._moot_at = math.inf  # from when on a health check is in vain
        self._misses = 0

    # --- messages to the owner, all of them harmless at any time

    def command(self, command: Command) -> None:
        """Ask for something. What is already so stays so: asking twice is asking once."""
        now = self._loop.time()
        if self._goal is Goal.STOPPED:
            return
        if command is Command.DISCONNECT:
            self._goal = Goal.DOWN
        elif command is Command.SUSPEND:
            self._goal, self._probe_at, self.why_suspended = Goal.SUSPENDED, None, BY_COMMAND
        elif self._goal is Goal.SUSPENDED and self.record.status is ConnectionStatus.SUSPENDED:
            self._goal, self._probing, self._next_at = Goal.UP, True, now
        elif command is not Command.RESUME or self._goal is Goal.SUSPENDED:  # else the suspension has yet to come
            if self._goal is Goal.DOWN:
                self._forgive()
            self._goal = Goal.UP
            if self.record.status is not ConnectionStatus.CONNECTED:
                self._next_at = now
            elif command is Command.RECONNECT:
                self._redial = True
        self._alarm.ring()

    def stop(self) -> None:
        """End: disconnect, and let `run()` return."""
        self._goal = Goal.STOPPED
        self._alarm.ring()

    def use(self, settings: SupervisionSettings) -> None:
        """Go by other settings from now on; the link stays as it is."""
        now, old, self.settings = self._loop.time(), self.settings, settings
        self._pauses = None
        self._due = self._slot(now)
        if self._goal is Goal.SUSPENDED and self.why_suspended != BY_COMMAND:
            at, self._probe_at = self._probe_at, self._next_probe()
            if at is not None and self._probe_at is not None:
                self._probe_at = min(at, self._probe_at)
        elif self._next_at is None and settings.auto_reconnect and not old.auto_reconnect:
            self._next_at = now  # else it would stay down for ever
        elif self._next_at is not None and settings.reconnect_delay_max < old.reconnect_delay_max:
            self._next_at = min(self._next_at, now + settings.reconnect_delay_max)
        self._alarm.ring()

    def link_lost(self, reason: str) -> None:  # noqa: ARG002 - the link remembers the reason as its fault
        """The plugin noticed by itself that the session is over."""
        self._moot_at = min(self._moot_at, self._loop.time() + LAST_WORDS)
        if self.link.checking:
            self._loop.call_at(self._moot_at, self._alarm.ring)
        self._alarm.ring()

    def answered(self, round_trip: float) -> None:
        """An exchange was finished."""
        self.record.quality.answered(self._loop.time(), round_trip)

    @property
    def stuck(self) -> Call | None:
        """The plugin call that was given up and has not returned, or None."""
        return self._calls.stuck

    def next_attempt_in(self) -> float | None:
        """Seconds until the next attempt; None when the link is up or nothing is planned."""
        at = self._probe_at if self._goal is Goal.SUSPENDED else self._next_at
        if at is None or self.record.status in (ConnectionStatus.CONNECTED, ConnectionStatus.CONNECTING):
            return None
        return None if self._goal in (Goal.DOWN, Goal.STOPPED) else max(at - self._loop.time(), 0.0)

    def outlook(self) -> str:
        """The state of things and what happens next, in one sentence."""
        return outlook(self.record.status, self.connection.last_error, self.next_attempt_in())

    # --- the owner

    async def run(self) -> None:
        """Own the connection until `stop()`, or cancellation. Ends disconnected either way."""
        try:
            while self._goal is not Goal.STOPPED:
                try:
                    await self._step()
                except Exception as error:  # noqa: BLE001 - a bug of ours must not end the watch over a device
                    await self._recover(error)
        finally:
            await self._end()

    async def _end(self) -> None:
        """Disconnected, whatever was going on, and even when cancelled once more meanwhile."""
        self._withdraw()
        try:
            await self._calls.finish(self.settings.disconnect_timeout, self._alarm)
            await self._hang_up()
        finally:
            self._calls.leave(owes_disconnect=self._owes_disconnect)
            if self.record.status is not ConnectionStatus.DISCONNECTED:
                self.record.to(ConnectionStatus.DISCONNECTED)

    async def _step(self) -> None:
        if self._goal is not Goal.UP:
            await self._rest()
        elif await self._turn_has_come():
            await self._attempt()

    async def _rest(self) -> None:
        """Stay disconnected or suspended, until a command or the next probe."""
        status = ConnectionStatus(self._goal.value)
        if self.record.status is not status:
            self.record.to(status, self.why_suspended if status is ConnectionStatus.SUSPENDED else None)
        await self._alarm.sleep(self._probe_at if self._goal is Goal.SUSPENDED else None)
        await self._settle_debt()
        if self._goal is Goal.SUSPENDED and self._probe_at is not None and self._loop.time() >= self._probe_at:
            self._goal, self._probing, self._next_at = Goal.UP, True, self._loop.time()

    async def _turn_has_come(self) -> bool:
        """Wait out the pause and the dial limits. False when the goal changed meanwhile."""
        while self._goal is Goal.UP and (self._next_at is None or self._loop.time() < self._next_at):
            await self._alarm.sleep(self._next_at)
            await self._settle_debt()
        if self._goal is not Goal.UP:
            return False
        self._ticket = self._limiter.ask(self._host, self._alarm.ring)
        while not self._ticket.granted and self._goal is Goal.UP:
            await self._alarm.sleep(None)
        granted = self._ticket.granted and self._goal is Goal.UP
        self._withdraw()
        if granted and self._owes_disconnect and self._calls.stuck is None:
            await self._hang_up()  # a call that had been given up has just returned: queue again after this
            return False
        return granted

    def _withdraw(self) -> None:
        if self._ticket is not None:
            self._limiter.withdraw(self._ticket)
            self._ticket = None

    async def _attempt(self) -> None:
        """One session: from dialling to the end of the link."""
        self._redial = False
        self.record.to(ConnectionStatus.CONNECTING)
        if self._calls.stuck is not None:
            self.record.stuck(self._calls.stuck.method)
            reason = f"{self._calls.stuck.method}() was given up and still has not returned"
            await self._fail(Failure(Kind.TRANSIENT, reason, "plugin"))
            return
        self.link.begin_session()
        self._owes_disconnect = True
        outcome = await self._call("connect", self.settings.connection_timeout)
        failure = outcome.failure if outcome is not None else None
        was_up = outcome is not None and failure is None
        if was_up:
            self.record.to(ConnectionStatus.CONNECTED)
            failure = await self._hold()
        if failure is not None:
            await self._fail(failure, was_up=was_up)
            return
        await self._hang_up()  # a command ended it
        if self._goal is Goal.UP:
            self.record.to(ConnectionStatus.DISCONNECTED)
            self._next_at = self._loop.time()

    async def _hold(self) -> Failure | None:
        """Watch over the open link. Returns why it was lost, or None when a command ends it."""
        self._misses = 0
        self._opened = self._loop.time()
        self._moot_at = math.inf
        self._due = self._slot(self._opened)
        while self._goal is Goal.UP and not self._redial:
            now = self._loop.time()
            if self.link.fault is not None:
                return self.link.fault
            if self._is_unproven() and self._is_stable(now):
                self._forgive()
            if now >= self._due - TICK:
                failure = await self._check_if_needed(max(now, self._due))
                if failure is not None:
                    return failure
                continue
            stable_at = backoff.stable_at(self.settings, self._opened) if self._is_unproven() else math.inf
            await self._alarm.sleep(min(self._due, stable_at))
        return None

    async def _check_if_needed(self, now: float) -> Failure | None:
        """A health check is due: make it, unless traffic has proven that the device lives."""
        interval = self.settings.health_check_interval
        # An exchange under way proves life or breaks the link, each within its own deadline.
        later = now + interval if self.link.busy else due_after_traffic(self.link.traffic_at, interval, now)
        if later is not None:
            self._due = later
            self.record.quality.skipped(1)
            return None
        before = self._due
        failure = await self._check()
        interval = self.settings.health_check_interval  # there may be others by now
        self._due = self._slot(max(self._loop.time(), before + interval / 2))
        self.record.quality.skipped(max(round((self._due - before) / interval) - 1, 0))
        return failure

    async def _check(self) -> Failure | None:
        self.link.checking = True
        try:
            timeout = self.settings.health_check_timeout
            outcome = await self._calls.call("health_check", timeout, self._alarm, self._is_moot)
        finally:
            self.link.checking = False
        if outcome is None:
            # What cut it off may be taken back at once, but the check may still be answered: no more of this session.
            self._redial = self._redial or self.link.fault is None
            return None
        self.record.quality.checked(failed=outcome.failure is not None)
        if outcome.failure is None:
            self._misses = 0
            self.record.quality.answered(self._loop.time(), outcome.duration)
            return None
        self._misses += 1
        self.record.check_failed(outcome.failure)
        # A check that was cut off may still be answered: that link cannot be used again.
        was_cut_off = outcome.failure.layer == "deadline"
        if self._misses >= self.settings.health_check_failures or was_cut_off or outcome.failure.kind is Kind.PERMANENT:
            return outcome.failure
        return None

    async def _fail(self, failure: Failure, *, was_up: bool = False) -> None:
        """An attempt failed, or an open link was lost: decide what comes next, then clean up."""
        stable = was_up and self._is_stable(self._loop.time())
        if stable:
            self._forgive()
        # A peer that accepts and drops at once has failed like one that refuses.
        self.record.failed(failure, counts=not stable)
        suspend = self._reason_to_suspend(failure)
        pause = self._pause(failure)
        self._next_at = None
        if self.record.status is not ConnectionStatus.ERROR:
            self.record.to(ConnectionStatus.ERROR, failure.reason, failure)
        self.record.down(failure, suspended=suspend is not None, probing=self._probing, pause=pause)
        await self._hang_up()
        if self._goal is not Goal.UP or self._next_at is not None:
            return  # a command came meanwhile, and it counts
        if suspend is not None:
            self._suspend(suspend)
        elif pause is not None:
            self._next_at = self._loop.time() + pause

    def _reason_to_suspend(self, failure: Failure) -> str | None:
        return backoff.reason_to_suspend(self.settings, failure, self.record.attempts, probing=self._probing)

    def _pause(self, failure: Failure) -> float | None:
        """Seconds until the next attempt; None for never."""
        if not self.settings.auto_reconnect:
            return None
        if failure.retry_after is not None:
            return backoff.asked_for(self.settings, failure.retry_after)
        if self._pauses is None:
            self._pauses = backoff.delays(self.settings)
        return next(self._pauses)

    def _suspend(self, reason: str) -> None:
        self._goal, self.why_suspended = Goal.SUSPENDED, self._scrub(reason)
        self._probing = False
        self._probe_at = self._next_probe()

    def _next_probe(self) -> float | None:
        interval = self.settings.suspended_probe_interval
        return self._loop.time() + interval if interval and self.settings.auto_reconnect else None

    async def _hang_up(self) -> None:
        """Call `disconnect()` once for the `connect()` that was started, if it still has to be."""
        self.link.end_session()
        if not self._owes_disconnect or self._calls.stuck is not None:
            return
        self._owes_disconnect = False
        outcome = await self._call("disconnect", self.settings.disconnect_timeout, interruptible=False)
        if outcome is not None and outcome.failure is not None:
            self.record.hang_up_failed(outcome.failure)
        self._calls.release()

    async def _settle_debt(self) -> None:
        """The call that had been given up has returned: its `disconnect()` can be made now."""
        if self._owes_disconnect and self._calls.stuck is None:
            await self._hang_up()

    async def _call(self, method: str, timeout: float, *, interruptible: bool = True) -> Outcome | None:
        """Call the plugin, for `timeout` seconds at most. None when a command came between."""
        return await self._calls.call(method, timeout, self._alarm, self._is_interrupted if interruptible else None)

    def _is_interrupted(self) -> bool:
        return self._goal is not Goal.UP or self._redial

    def _is_moot(self) -> bool:
        """Whether a health check need not be waited for: the link is lost. A plain one would only be left behind."""
        return self._is_interrupted() or (self._loop.time() >= self._moot_at - TICK and self._calls.can_be_cancelled)

    # --- small decisions

    def _slot(self, after: float) -> float:
        return next_slot(self.connection.connection_id, self.settings.health_check_interval, after)

    def _is_unproven(self) -> bool:
        """Whether there is something that a stable link would clear."""
        return self.record.attempts > 0 or self._pauses is not None or self._probing

    def _is_stable(self, now: float) -> bool:
        return now >= backoff.stable_at(self.settings, self._opened)

    def _forgive(self) -> None:
        """The link has been up long enough: its history no longer counts."""
        self.record.forgive()
        self._pauses = None
        self._probing = False

    async def _recover(self, error: Exception) -> None:
        """A bug of connmgr's own: say so, clean up, and go on after the longest pause."""
        self.crashes += 1
        log.critical(
            "a bug in connmgr, please report it; the connection is reopened",
            connection=self.connection.connection_id,
            exc_info=error,
        )
        await self._hang_up()
        if self.record.status in (ConnectionStatus.CONNECTING, ConnectionStatus.CONNECTED):
            self.record.to(ConnectionStatus.ERROR, describe(error))
        self._next_at = self._loop.time() + self.settings.reconnect_delay_max
        self._probe_at = None
        await asyncio.sleep(1)  # should the cause be in resting itself, it must not spin
