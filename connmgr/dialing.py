"""How many connections may be opened per second, over all and per host, so that a common outage is no storm.

Both limits are token buckets: over any time of `w` seconds at most `burst + rate · w` dials begin. Who waits is served
in the order of asking, except that a host that is out of tokens does not hold up the others.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from connmgr.settings import GlobalSettings


class Bucket:
    """A token bucket that is told the time. Pure."""

    __slots__ = ("at", "burst", "out", "rate", "tokens")

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.tokens = float(burst)
        self.out = 0  # tokens taken whose dial has not begun yet
        self.at: float | None = None

    def ready_at(self, now: float) -> float:
        """The earliest time, not before `now`, at which a token is there."""
        self._fill(now)
        return now if self.tokens >= 1 else now + (1 - self.tokens) / self.rate

    def take(self, now: float) -> None:
        """Hand a token out; `used` when its dial begins."""
        self._fill(now)
        self.tokens -= 1
        self.out += 1

    def used(self, now: float) -> None:
        """A dial begins, or will not. Until then its token leaves no room for another: else the dials of one long
        turn of the loop would begin together with those of the next.
        """
        self._fill(now)
        self.out -= 1

    def change(self, now: float, rate: float, burst: int) -> None:
        """Go by other limits from `now` on; the time before counts at the old rate."""
        self._fill(now)
        self.rate, self.burst = rate, burst
        self.tokens = min(self.tokens, burst - self.out)

    def is_full(self, now: float) -> bool:
        """Whether it is as good as new."""
        self._fill(now)
        return self.tokens >= self.burst

    def _fill(self, now: float) -> None:
        if self.at is not None:
            self.tokens = min(self.burst - self.out, self.tokens + (now - self.at) * self.rate)
            if 1 - 1e-9 < self.tokens < 1:  # what floating point keeps back of a token must not cost another turn
                self.tokens = 1.0
        self.at = now


class Ticket:
    """A place in the queue; `granted` turns True when its holder may dial."""

    __slots__ = ("granted", "host", "notify", "order", "withdrawn")

    def __init__(self, host: str, order: int, notify: Callable[[], None]) -> None:
        self.host, self.order, self.notify = host, order, notify
        self.granted = False
        self.withdrawn = False


class _Host:
    __slots__ = ("bucket", "queue")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.queue: deque[Ticket] = deque()


class DialLimiter:
    """Hands out permissions to dial."""

    def __init__(self, settings: GlobalSettings) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._overall = Bucket(settings.dial_rate, settings.dial_burst)
        self._hosts: dict[str, _Host] = {}
        self._ready: list[tuple[int, str]] = []  # heap: order of the host's first ticket, host
        self._later: list[tuple[float, str]] = []  # heap: when the host has a token again, host
        self._forget_above = 1024  # hosts remembered before those with nothing to remember are dropped
        self._orders = 0
        self._timer: asyncio.TimerHandle | None = None
        self.dials = 0

    def configure(self, settings: GlobalSettings) -> None:
        """Use new limits from now on, also for those who are waiting."""
        self._settings = settings
        now = self._loop.time()
        self._overall.change(now, settings.dial_rate, settings.dial_burst)
        for host in self._hosts.values():
            host.bucket.change(now, settings.host_dial_rate, settings.host_dial_burst)
        waiting, self._later = self._later, []
        for _, name in waiting:
            self._line_up(name, self._hosts[name])
        self._serve()

    def ask(self, host: str, notify: Callable[[], None]) -> Ticket:
        """Queue up for a dial to `host`. Granted at once when the limits allow; else `notify` is called later."""
        self._orders += 1
        ticket = Ticket(host, self._orders, notify)
        entry = self._hosts.get(host)
        if entry is None:
            entry = self._hosts[host] = _Host(Bucket(self._settings.host_dial_rate, self._settings.host_dial_burst))
        entry.queue.append(ticket)
        if len(entry.queue) == 1:
            self._line_up(host, entry)
        self._serve()
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Leave: the dial begins now, or is not wanted any more. A permission that is not used is lost."""
        if ticket.withdrawn:
            return
        ticket.withdrawn = True
        if ticket.granted:
            now = self._loop.time()
            self._overall.used(now)
            self._hosts[ticket.host].bucket.used(now)

    def _line_up(self, name: str, host: _Host) -> None:
        now = self._loop.time()
        at = host.bucket.ready_at(now)
        if at <= now:
            heapq.heappush(self._ready, (host.queue[0].order, name))
        else:
            heapq.heappush(self._later, (at, name))

    def _serve(self) -> None:
        now = self._loop.time()
        while self._later and self._later[0][0] <= now:
            _, name = heapq.heappop(self._later)
            self._line_up(name, self._hosts[name])
        while self._ready and self._overall.ready_at(now) <= now:
            _, name = heapq.heappop(self._ready)
            self._grant(name, self._hosts[name], now)
        self._arm(now)

    def _grant(self, name: str, host: _Host, now: float) -> None:
        while host.queue and host.queue[0].withdrawn:
            host.queue.popleft()
        if host.queue:
            ticket = host.queue.popleft()
            host.bucket.take(now)
            self._overall.take(now)
            self.dials += 1
            ticket.granted = True
            ticket.notify()
        if host.queue:
            self._line_up(name, host)
        elif len(self._hosts) >= self._forget_above:
            self._hosts = {
                name: host for name, host in self._hosts.items() if host.queue or not host.bucket.is_full(now)
            }
            self._forget_above = max(1024, 2 * len(self._hosts))

    def _arm(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        times = [self._later[0][0]] if self._later else []
        if self._ready:
            times.append(self._overall.ready_at(now))
        if times:
            self._timer = self._loop.call_at(min(times), self._serve)


def host_of(connection_id: str, config: Mapping[str, Any]) -> str:
    """Which dials share a limit: the host, else the port's path, else the connection itself."""
    for key in ("base_url", "url"):
        if isinstance(url := config.get(key), str):
            try:
                return (urlsplit(url).hostname or connection_id).lower()
            except ValueError:
                return connection_id
    for key in ("host", "ip", "address", "port"):
        if isinstance(value := config.get(key), str) and value:
            return value.lower()
    return connection_id
