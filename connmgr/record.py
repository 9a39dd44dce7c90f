"""What is known of one connection and told to others: status, attempts, quality, events, log lines."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from connmgr.connection import BaseConnection, link_of
from connmgr.edge_log import EdgeLog
from connmgr.errors import Failure, Kind
from connmgr.events import EventLog
from connmgr.link import Told
from connmgr.link_quality import LinkQuality
from connmgr.states import HEALTH_CHECK_FAILED, ConnectionStatus, event_of


class Record:
    """Written by the connection's owner alone.

    Attributes:
        since: when it got its status, in Unix seconds.
        attempts: failed ones since the link was last stable.
        bugs: failures that no device explains.
    """

    __slots__ = (
        "_connection",
        "_edge",
        "_events",
        "_link",
        "_loop",
        "_scrub",
        "attempts",
        "bugs",
        "quality",
        "since",
        "status",
    )

    def __init__(self, connection: BaseConnection[Any], events: EventLog, scrub: Callable[[str], str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._link = link_of(connection)
        self._events, self._scrub = events, scrub
        self._edge = EdgeLog(connection.connection_id)
        self.status = ConnectionStatus.DISCONNECTED
        self.since = time.time()
        self.quality = LinkQuality(self._loop.time())
        self.attempts = self.bugs = 0

    def to(self, status: ConnectionStatus, reason: str | None = None, failure: Failure | None = None) -> None:
        """Change status; the one place that does.

        Raises:
            IllegalTransitionError: the table has no such way.
        """
        old, now = self.status, self._loop.time()
        event = event_of(old, status)
        self.status, self.since = status, time.time()
        self._link.set_status(status)
        self._link.attempts = self.attempts
        if status is ConnectionStatus.CONNECTED:
            self._link.connected_at = self.since
            self.quality.up(now)
            self._edge.up(now)
        elif old is ConnectionStatus.CONNECTED:
            self._link.connected_at = None
            self.quality.down(now, lost=status is ConnectionStatus.ERROR)
        self._tell(event, old, failure, reason)

    def check_failed(self, failure: Failure) -> None:
        """A health check failed; whether that ends the link is decided elsewhere."""
        self._tell(HEALTH_CHECK_FAILED, self.status, failure)

    def failed(self, failure: Failure, *, counts: bool) -> None:
        """Remember a failure where people look for it; `counts` as one more attempt."""
        if counts:
            self.attempts += 1
        self._link.attempts = self.attempts
        self._connection.last_error = Told(self._scrub(failure.reason))
        if failure.kind is Kind.BUG:
            self.bugs += 1
            self._edge.bug(failure)

    def hang_up_failed(self, failure: Failure) -> None:
        """`disconnect()` failed: what comes next stays the same, but a bug in it may have left something open."""
        if failure.kind is Kind.BUG:
            self.bugs += 1
        self._edge.hang_up_failed(failure)

    def stuck(self, method: str) -> None:
        """A call that was given up keeps this attempt from being made."""
        self._edge.stuck(method)

    def down(self, failure: Failure, *, suspended: bool, probing: bool, pause: float | None) -> None:
        """Log a failure, if it is an edge. `pause` is the seconds until the next attempt, None for never."""
        following = "suspended" if suspended else "stays down" if pause is None else f"retry in {pause:.1f} s"
        self._edge.down(self._loop.time(), failure, following=following, is_edge=suspended and not probing)

    def forgive(self) -> None:
        """The link has been up long enough: its attempts no longer count."""
        self.attempts = self._link.attempts = 0
        self._connection.last_error = None

    def _tell(
        self, event: str, old: ConnectionStatus, failure: Failure | None = None, reason: str | None = None
    ) -> None:
        why = failure.reason if failure is not None else reason
        why = self._scrub(why) if why is not None else None
        layer = failure.layer if failure is not None else None
        self._events.publish(self._connection, event, old, self.status, reason=why, layer=layer, attempts=self.attempts)
