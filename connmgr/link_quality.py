"""How good a link is: round trips, loss, flaps, availability. Pure: every method is told the time."""

import math
from array import array
from collections import deque
from dataclasses import dataclass

ROUND_TRIPS = 64  # the newest ones that percentiles are taken of: 256 bytes a connection
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Quality:
    """One link in figures.

    Attributes:
        rtt_p50, rtt_p95, rtt_p99: round trips in seconds over the newest 64; None before the first.
        loss: share of health checks that failed, 0 to 1, over the newest 64; None before the first.
        flaps_per_hour: how often the link was lost within the last hour (at most 64 are remembered).
        availability: share of the time since start in which the link was up, 0 to 1; None before any time passed.
        last_answer_age: seconds since the last good answer; None before the first.
        checks, checks_skipped: health checks made; left out because traffic had proven life, or because they were late.
    """

    rtt_p50: float | None
    rtt_p95: float | None
    rtt_p99: float | None
    loss: float | None
    flaps_per_hour: int
    availability: float | None
    last_answer_age: float | None
    checks: int
    checks_skipped: int


class LinkQuality:
    """Collects the figures of one link."""

    __slots__ = (
        "_answer_at",
        "_checks",
        "_flaps",
        "_outcomes",
        "_round_trips",
        "_seen",
        "_skipped",
        "_start",
        "_up_since",
        "_up_time",
    )

    def __init__(self, now: float) -> None:
        self._start = now
        self._up_since: float | None = None
        self._up_time = 0.0
        self._answer_at: float | None = None
        self._round_trips: array[float] | None = None
        self._seen = 0
        self._flaps: deque[float] | None = None
        self._outcomes = 0  # newest 64 health checks as bits, 1 = failed
        self._checks = 0
        self._skipped = 0

    def up(self, now: float) -> None:
        """The link came up."""
        self._up_since = self._answer_at = now

    def down(self, now: float, *, lost: bool) -> None:
        """The link went down; `lost` when nobody had asked for it."""
        if self._up_since is None:
            return
        self._up_time += now - self._up_since
        self._up_since = None
        if lost:
            if self._flaps is None:
                self._flaps = deque(maxlen=64)
            self._flaps.append(now)

    def answered(self, now: float, round_trip: float) -> None:
        """An exchange was answered."""
        self._answer_at = now
        if self._round_trips is None:
            self._round_trips = array("f")
        if len(self._round_trips) < ROUND_TRIPS:
            self._round_trips.append(round_trip)
        else:
            self._round_trips[self._seen % ROUND_TRIPS] = round_trip
        self._seen += 1

    def checked(self, *, failed: bool) -> None:
        """A health check ended."""
        self._checks += 1
        self._outcomes = (self._outcomes << 1 | failed) & (1 << 64) - 1

    def skipped(self, count: int) -> None:
        """So many health checks were left out."""
        self._skipped += count

    def report(self, now: float, traffic_at: float | None = None) -> Quality:
        """The figures as of `now`; `traffic_at` is when unasked traffic was last seen."""
        trips = sorted(self._round_trips or ())
        up_time = self._up_time + (now - self._up_since if self._up_since is not None else 0.0)
        lifetime = now - self._start
        answers = [at for at in (self._answer_at, traffic_at) if at is not None]
        return Quality(
            rtt_p50=_percentile(trips, 0.50),
            rtt_p95=_percentile(trips, 0.95),
            rtt_p99=_percentile(trips, 0.99),
            loss=self._outcomes.bit_count() / min(self._checks, 64) if self._checks else None,
            flaps_per_hour=sum(1 for at in self._flaps or () if at > now - HOUR),
            availability=min(up_time / lifetime, 1.0) if lifetime > 0 else None,
            last_answer_age=max(now - max(answers), 0.0) if answers else None,
            checks=self._checks,
            checks_skipped=self._skipped,
        )


def _percentile(ordered: list[float], share: float) -> float | None:
    """Nearest rank: the smallest value that at least `share` of all do not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None
