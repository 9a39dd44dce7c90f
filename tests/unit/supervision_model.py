"""What a connection should be doing: a small model that shares no code with the supervisor."""

from dataclasses import dataclass
from typing import Any

from connmgr.settings import SupervisionSettings

EPSILON = 1e-6
GRACE = 0.5  # seconds a cancelled call gets

WAYS = {
    ("disconnected", "connecting"): "connecting",
    ("disconnected", "suspended"): "suspended",
    ("connecting", "connected"): "connected",
    ("connecting", "error"): "error",
    ("connecting", "disconnected"): "disconnected",
    ("connecting", "suspended"): "suspended",
    ("connected", "error"): "error",
    ("connected", "disconnected"): "disconnected",
    ("connected", "suspended"): "suspended",
    ("error", "connecting"): "connecting",
    ("error", "disconnected"): "disconnected",
    ("error", "suspended"): "suspended",
    ("suspended", "connecting"): "resumed",
    ("suspended", "disconnected"): "disconnected",
}


@dataclass(slots=True)
class Played:
    """One call of a plugin's method as it really happened."""

    method: str
    started: float
    timeout: float
    ended: float | None = None
    interrupted: float | None = None
    result: Any = None
    error: BaseException | None = None

    @property
    def good(self) -> bool:
        """Whether it answered True before its deadline."""
        return self.result is True and self.ended is not None and self.ended - self.started <= self.timeout + EPSILON

    @property
    def cut_off(self) -> bool:
        """Whether its deadline came first."""
        return self.ended is None or self.ended - self.started >= self.timeout - EPSILON


@dataclass(slots=True)
class Track:
    """What one connection object owes and does."""

    debt: bool = False
    running: Played | None = None
    last: Played | None = None
    check_at: float | None = None  # the last health check that was on the grid, unless something moved it since
    disturbed: bool = True  # the next check may be off the grid


@dataclass(slots=True)
class Model:
    """What one connection id should be doing."""

    settings: SupervisionSettings
    status: str = "disconnected"
    goal: str = "up"
    attempts: int = 0
    pauses: int = 0
    probing: bool = False
    up_at: float = 0.0
    alive_at: float = 0.0
    misses: int = 0
    must_fail: bool = False
    fault: bool = False
    ended: bool = False  # the session, by a command
    must_suspend: bool = False
    by_command: bool = False
    since: float = 0.0
    asked: bool = False  # since the last transition
    pause: tuple[float, float] | None = None
    connecting_until: float = 0.0

    def touch(self, now: float) -> None:
        """A link that has been up for stable_after is forgiven."""
        if self.status == "connected" and not self.ended and now >= self.up_at + self.settings.stable_after - EPSILON:
            self.forgive()

    def forgive(self) -> None:
        self.attempts = self.pauses = 0
        self.probing = False


@dataclass(slots=True)
class Level:
    """A bucket that leaks: never more than `burst` above the rate."""

    rate: float
    burst: int
    level: float = 0.0
    at: float = 0.0

    def add(self, now: float) -> bool:
        self.level = max(0.0, self.level - (now - self.at) * self.rate) + 1
        self.at = now
        return self.level <= self.burst + 1e-4
