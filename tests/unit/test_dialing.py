"""Dial limits: never more than burst + rate · w in any w seconds, and nobody starves."""

import asyncio
import random

import pytest

from connmgr.dialing import Bucket, DialLimiter, Ticket, host_of
from connmgr.settings import GlobalSettings
from tests.unit.scripted import virtually


def limits(rate: float = 10, burst: int = 20, host_rate: float = 5, host_burst: int = 10) -> GlobalSettings:
    return GlobalSettings(dial_rate=rate, dial_burst=burst, host_dial_rate=host_rate, host_dial_burst=host_burst)


class Queue:
    """Asks for permissions and writes down when they were granted."""

    def __init__(self, settings: GlobalSettings) -> None:
        self.limiter = DialLimiter(settings)
        self.granted: list[tuple[float, str]] = []
        self.loop = asyncio.get_running_loop()
        self.start = self.loop.time()

    def ask(self, host: str) -> Ticket:
        held: list[Ticket] = []
        held.append(self.limiter.ask(host, lambda: self.notify(host, held)))
        return held[0]

    def notify(self, host: str, held: list[Ticket]) -> None:
        self.loop.call_soon(lambda: self.dial(host, held[0]))  # as an owner does, a moment after it was woken

    def dial(self, host: str, ticket: Ticket) -> None:
        self.granted.append((self.loop.time() - self.start, host))
        self.limiter.withdraw(ticket)

    def times(self, host: str | None = None) -> list[float]:
        return [round(at, 6) for at, name in self.granted if host in (None, name)]


def within(times: list[float], rate: float, burst: int) -> bool:
    return all(
        j - i + 1 <= burst + rate * (times[j] - times[i]) + 1e-3
        for i in range(len(times))
        for j in range(i, len(times))
    )


@pytest.mark.parametrize("seed", range(20))
def test_no_window_has_too_many(seed: int) -> None:
    """Over any time of w seconds at most burst + rate · w are granted, over all and per host; at last everyone is."""
    rng = random.Random(seed)
    rate, host_rate = rng.choice([0.5, 3, 10, 100]), rng.choice([0.2, 1, 5])
    burst, host_burst = rng.randint(1, 10), rng.randint(1, 5)

    @virtually
    async def scenario() -> None:
        queue = Queue(limits(rate, burst, host_rate, host_burst))
        tickets = []
        for _ in range(100):
            ticket = queue.ask(rng.choice("abc"))
            tickets.append(ticket)
            if rng.random() < 0.1:
                queue.limiter.withdraw(ticket)
            await asyncio.sleep(rng.choice([0, 0, 0, 0.3, 3]))
        await asyncio.sleep(1000)
        assert all(ticket.granted or ticket.withdrawn for ticket in tickets)
        assert within(queue.times(), rate, burst)
        for host in "abc":
            assert within(queue.times(host), host_rate, host_burst)

    scenario()


@virtually
async def test_in_the_order_of_asking() -> None:
    """Who asks first dials first, but a host that is out of tokens does not hold up the others."""
    queue = Queue(limits(10, 3, 1, 1))
    for host in "aaab":
        queue.ask(host)
    await asyncio.sleep(10)
    assert [host for _, host in queue.granted] == ["a", "b", "a", "a"]
    assert queue.times("b") == [0]
    assert queue.times("a") == [0, 1, 2]


@virtually
async def test_what_is_not_used_is_lost() -> None:
    """Who has withdrawn is passed over and costs nothing."""
    queue = Queue(limits(1, 1, 1, 1))
    tickets = [queue.ask("a") for _ in range(3)]
    queue.limiter.withdraw(tickets[1])
    await asyncio.sleep(10)
    assert queue.times() == [0, 1]
    assert not tickets[1].granted


@virtually
async def test_new_limits_count_for_those_who_wait() -> None:
    """Raising the limits lets those who wait dial at once; lowering them leaves no burst of the old size."""
    queue = Queue(limits(0.01, 1, 0.01, 1))
    for host in "aabb":
        queue.ask(host)
    await asyncio.sleep(1)
    queue.limiter.configure(limits(10, 10, 10, 10))
    await asyncio.sleep(1)
    assert len(queue.granted) == 4
    await asyncio.sleep(100)
    queue.limiter.configure(limits(1, 2, 1, 1))
    for _ in range(5):
        queue.ask("a")
    await asyncio.sleep(0.01)
    assert len(queue.granted) == 5


@virtually
async def test_it_forgets_hosts() -> None:
    """Hosts that have nothing to remember do not pile up."""
    queue = Queue(limits(100_000, 100_000, 100, 1))
    for n in range(20_000):
        queue.ask(str(n))
        if n % 100 == 0:
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.1)
    assert len(queue.granted) == 20_000
    assert len(queue.limiter._hosts) < 5000


def test_a_bucket() -> None:
    """A bucket fills at its rate up to its burst."""
    bucket = Bucket(2, 3)
    for _ in range(3):
        assert bucket.ready_at(100) == 100
        bucket.take(100)
        bucket.used(100)
    assert bucket.ready_at(100) == 100.5
    assert not bucket.is_full(101)
    assert bucket.is_full(102)
    assert bucket.ready_at(1e6) == 1e6


@pytest.mark.parametrize(
    ("config", "host"),
    [
        ({"host": "10.0.0.4", "port": 102}, "10.0.0.4"),
        ({"host": "PLC.Factory"}, "plc.factory"),
        ({"ip": "10.0.0.5"}, "10.0.0.5"),
        ({"port": "/dev/ttyUSB0"}, "/dev/ttyusb0"),
        ({"port": 502}, "x"),
        ({"base_url": "https://user:word@Hub.example:8430/a"}, "hub.example"),
        ({"url": "http://[::1"}, "x"),
        ({"url": "nonsense"}, "x"),
        ({"host": 5}, "x"),
        ({}, "x"),
    ],
)
def test_host_of(config: dict[str, object], host: str) -> None:
    """Connections to one machine or port share a limit; what names neither has its own."""
    assert host_of("x", config) == host


@virtually
async def test_permissions_that_wait_leave_no_room_for_more() -> None:
    """While a long turn of the loop keeps granted dials from beginning, the bucket does not fill up behind them."""
    limiter = DialLimiter(limits(10, 3, 100, 100))
    first = [limiter.ask(str(n), lambda: None) for n in range(3)]
    later = [limiter.ask(f"later{n}", lambda: None) for n in range(6)]
    await asyncio.sleep(60)
    assert [ticket.granted for ticket in first + later].count(True) == 3
    for ticket in first:
        limiter.withdraw(ticket)
        limiter.withdraw(ticket)  # twice is once
    await asyncio.sleep(0.25)
    assert [ticket.granted for ticket in later].count(True) <= 3
    for _ in range(10):
        for ticket in later:
            if ticket.granted:
                limiter.withdraw(ticket)
        await asyncio.sleep(1)
    assert all(ticket.granted for ticket in later)
