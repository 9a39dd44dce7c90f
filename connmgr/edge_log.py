"""What the log says of one connection: its edges (lost, back, suspended), not every attempt in between."""

import math

from connmgr.errors import Failure, Kind
from connmgr.logs import get_logger

REMINDER = 3600.0  # seconds between two log lines about a link that stays down

log = get_logger("connmgr.supervisor")


class EdgeLog:
    """A warning when the link breaks, one line when it is back, a reminder each hour, debug in between."""

    __slots__ = ("_connection_id", "_down_since", "_last_bugs", "_reminder_at", "_stuck")

    def __init__(self, connection_id: str) -> None:
        self._connection_id = connection_id
        self._down_since: float | None = None
        self._reminder_at = math.inf
        self._stuck: str | None = None
        self._last_bugs: dict[str, str] = {}  # by what was going on

    def down(self, now: float, failure: Failure, *, following: str, is_edge: bool) -> None:
        """An attempt failed or the link was lost.

        Args:
            following: what happens next, in words.
            is_edge: the connection has just been suspended, which is worth a line of its own.
        """
        facts = {"connection": self._connection_id, "reason": failure.reason, "next": following}
        if self._down_since is None:
            self._down_since, self._reminder_at = now, now + REMINDER
            log.warning("connection is down", **facts)
        elif is_edge:
            log.warning("connection is suspended", **facts)
        elif now >= self._reminder_at:
            self._reminder_at = now + REMINDER
            log.warning("connection is still down", down_for=f"{now - self._down_since:.0f} s", **facts)
        else:
            log.debug("attempt failed", **facts)

    def up(self, now: float) -> None:
        """The link is open."""
        if self._down_since is None:
            log.info("connected", connection=self._connection_id)
        else:
            down_for = f"{now - self._down_since:.1f} s"
            log.info("connected again", connection=self._connection_id, down_for=down_for)
        self._down_since, self._reminder_at, self._stuck = None, math.inf, None

    def stuck(self, method: str) -> None:
        """A call does not return, and nothing else can be called: said once, until the link is up again."""
        if method != self._stuck:
            self._stuck = method
            what = "the plugin hangs; nothing else of this connection is called until it returns"
            log.warning(what, connection=self._connection_id, method=f"{method}()")

    def bug(self, failure: Failure) -> None:
        """The plugin failed in a way that no device explains: said once, for the same at every attempt is a flood."""
        self._bug("a bug in the plugin", failure)

    def hang_up_failed(self, failure: Failure) -> None:
        """`disconnect()` failed. Away devices make it fail all the time; only a bug is worth more than a debug line."""
        if failure.kind is Kind.BUG:
            self._bug("a bug in the plugin's disconnect(); something may have stayed open", failure)
        else:
            log.debug("disconnect failed", connection=self._connection_id, reason=failure.reason)

    def _bug(self, what: str, failure: Failure) -> None:
        if self._last_bugs.get(what) != failure.reason:
            self._last_bugs[what] = failure.reason
            log.error(what, connection=self._connection_id, reason=failure.reason, details=failure.details)
