"""The owner of one connection, in virtual time."""

import asyncio
from itertools import pairwise

import pytest

from connmgr import AuthError, ConnectionStatus, RetryAfter
from connmgr.commands import Command
from connmgr.states import ConnectionStatus as S
from tests.unit.scripted import Scripted, Stubborn, hang, refuse, supervised, virtually


@virtually
async def test_first_connect_and_stop() -> None:
    """A start connects at once, a stop disconnects once."""
    async with supervised() as h:
        await h.until(S.CONNECTED)
        assert h.events == ["connecting", "connected"]
    assert h.connection.names() == ["connect", "disconnect"]
    assert h.has(S.DISCONNECTED)
    assert h.events == ["connecting", "connected", "disconnected"]


@virtually
async def test_the_schedule_of_the_seed() -> None:
    """Refused, the pauses are 5, 7.5, 11.25, … seconds, and after ten attempts it is suspended."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c, suspended_probe_interval=0) as h:
        await h.until(S.SUSPENDED)
        times = c.times("connect")
        pauses = [round(b - a, 4) for a, b in pairwise(times)]
        assert pauses == [5, 7.5, 11.25, 16.875, 25.3125, 37.9688, 56.9531, 60, 60]
        assert h.events.count("error") == 10
        assert h.events[-1] == "suspended"
        assert c.names() == ["connect", "disconnect"] * 10
        assert c.reconnect_attempts == 10
        await asyncio.sleep(86400)
        assert h.has(S.SUSPENDED)
        assert len(c.times("connect")) == 10


@virtually
async def test_probe_of_a_suspended_link() -> None:
    """A suspended link is probed once an interval; when the device is back it is connected."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c, reconnect_max_attempts=2, suspended_probe_interval=300) as h:
        await h.until(S.SUSPENDED)
        assert c.times("connect") == [0, 5]
        assert h.supervisor.next_attempt_in() == pytest.approx(300, abs=0.1)
        await asyncio.sleep(650)
        assert c.times("connect") == [0, 5, 305, 605]
        c.on_connect = Scripted().on_connect
        await h.until(S.CONNECTED)
        assert h.events[-2:] == ["resumed", "connected"]
        await asyncio.sleep(31)
        assert c.reconnect_attempts == 0
        assert c.last_error is None


@virtually
async def test_accept_and_drop_walks_up_to_suspension() -> None:
    """A peer that accepts and drops at once is treated like one that refuses."""
    c = Scripted()

    async def drop() -> bool:
        asyncio.get_running_loop().call_later(0.01, c.connection_lost, "closed by the peer")
        return True

    c.on_connect = drop
    async with supervised(c, reconnect_max_attempts=4) as h:
        await h.until(S.SUSPENDED)
        assert c.times("connect") == pytest.approx([0, 5.01, 12.52, 23.78])
        assert c.names() == ["connect", "disconnect"] * 4
        assert h.supervisor.record.quality.report(0).flaps_per_hour == 4


@virtually
async def test_a_stable_link_starts_afresh() -> None:
    """Only a link that was up for stable_after clears its attempts; its loss then costs the first pause."""
    c = Scripted()
    async with supervised(c, health_check_interval=1000) as h:
        await h.until(S.CONNECTED)
        await asyncio.sleep(31)
        c.connection_lost("unplugged")
        c.on_connect = refuse
        await asyncio.sleep(0)
        await h.until(S.ERROR)
        assert c.reconnect_attempts == 0
        assert c.last_error == "unplugged"
        await asyncio.sleep(6)
        assert c.reconnect_attempts == 1
        c.on_connect = Scripted().on_connect
        await h.until(S.CONNECTED)
        assert c.times("connect") == pytest.approx([0, 36, 43.5], abs=0.05)
        await asyncio.sleep(29)
        assert c.reconnect_attempts == 1
        await asyncio.sleep(2)
        assert c.reconnect_attempts == 0


@virtually
async def test_health_checks_keep_their_phase() -> None:
    """One check an interval, without drift, also when the device answers slowly."""
    c = Scripted()

    async def slow() -> bool:
        await asyncio.sleep(0.4)
        return True

    c.on_check = slow
    async with supervised(c, health_check_interval=10) as h:
        await h.until(S.CONNECTED)
        await asyncio.sleep(1000)
        times = c.times("health_check")
        assert len(times) == 100
        assert times[-1] - times[0] == pytest.approx(990)
        assert h.supervisor.record.quality.report(0).rtt_p50 == pytest.approx(0.4)


@virtually
async def test_traffic_makes_a_check_redundant() -> None:
    """While good answers come in, nothing is asked besides; when they stop, the check comes an interval later."""
    c = Scripted()
    async with supervised(c, health_check_interval=10) as h:
        await h.until(S.CONNECTED)
        for _ in range(100):
            await asyncio.sleep(1)
            c.update_stats(packets_received=1)
        assert c.times("health_check") == [] or c.times("health_check")[-1] < 1
        await asyncio.sleep(10.5)
        assert len(c.times("health_check")) >= 1
        assert h.has(S.CONNECTED)


@virtually
async def test_failed_health_check_reconnects() -> None:
    """A health check that answers False ends the session: event, disconnect, pause, connect."""
    c = Scripted()
    async with supervised(c, health_check_interval=10) as h:
        await h.until(S.CONNECTED)

        async def no() -> bool:
            return False

        c.on_check = no
        await h.until(S.ERROR)
        c.on_check = Scripted().on_check
        await h.until(S.CONNECTED)
        assert h.events == ["connecting", "connected", "health_check_failed", "error", "connecting", "connected"]
        assert c.names() == ["connect", "health_check", "disconnect", "connect"]


@virtually
async def test_threshold_of_health_checks() -> None:
    """With health_check_failures 3 two misses are borne, and an answer in between starts the count anew."""
    c = Scripted()
    answers = iter([False, False, True, False, False, False])

    async def next_answer() -> bool:
        return next(answers)

    c.on_check = next_answer
    async with supervised(c, health_check_interval=10, health_check_failures=3) as h:
        await h.until(S.ERROR)
        assert c.names().count("health_check") == 6
        assert h.events.count("health_check_failed") == 5


@virtually
async def test_hanging_calls_have_deadlines() -> None:
    """connect, health_check and disconnect that hang are cut off at their deadlines."""
    c = Scripted()
    c.on_connect = hang
    c.on_disconnect = hang
    async with supervised(c, connection_timeout=10, disconnect_timeout=5) as h:
        await asyncio.sleep(10.2)
        assert h.has(S.ERROR)
        assert c.last_error == "connect() did not end within 10 s"
        await asyncio.sleep(5)
        c.on_connect, c.on_disconnect = Scripted().on_connect, Scripted().on_disconnect
        await h.until(S.CONNECTED)
        assert c.times("connect") == pytest.approx([0, 20], abs=0.1)


@virtually
async def test_a_call_that_will_not_die() -> None:
    """A call that eats its cancellation is left behind; nothing else is called until it returns."""
    c = Scripted()
    c.on_connect = stubborn = Stubborn()
    async with supervised(c, connection_timeout=10) as h:
        await asyncio.sleep(11)
        assert h.has(S.ERROR)
        stuck = h.supervisor.stuck
        assert stuck is not None
        assert stuck.method == "connect"
        await h.until(S.SUSPENDED)
        assert c.names() == ["connect"]
        assert "has not returned" in (h.supervisor.why_suspended or "")
        stubborn.let_go.set()
        await asyncio.sleep(1)
        assert c.names() == ["connect", "disconnect"]
        assert h.has(S.SUSPENDED)


@virtually
async def test_late_success_is_discarded_and_paired() -> None:
    """A connect that returns True after it was given up does not count, and gets its disconnect."""
    c = Scripted()
    c.on_connect = stubborn = Stubborn()
    async with supervised(c, connection_timeout=10) as h:
        await asyncio.sleep(12)
        assert h.has(S.ERROR)
        stubborn.let_go.set()
        c.on_connect = refuse
        await asyncio.sleep(0.1)
        assert h.has(S.ERROR)
        assert c.names() == ["connect", "disconnect"]


@virtually
async def test_permanent_error_suspends_at_once() -> None:
    """A wrong password is not tried ten times."""
    c = Scripted()

    async def wrong() -> bool:
        raise AuthError("cannot log in: the password is wrong")

    c.on_connect = wrong
    async with supervised(c) as h:
        await h.until(S.SUSPENDED)
        assert c.times("connect") == [0]
        assert h.supervisor.why_suspended == "cannot log in: the password is wrong"


@virtually
async def test_retry_after() -> None:
    """The device may name the pause."""
    c = Scripted()

    async def busy() -> bool:
        raise RetryAfter(42, "all slots taken")

    c.on_connect = busy
    async with supervised(c):
        await asyncio.sleep(50)
        assert c.times("connect") == pytest.approx([0, 42])


@virtually
async def test_commands() -> None:
    """suspend stays down without a probe, resume probes once, disconnect and connect, reconnect; twice is once."""
    async with supervised() as h:
        s = h.supervisor
        await h.until(S.CONNECTED)
        for _ in range(2):
            s.command(Command.SUSPEND)
            await h.until(S.SUSPENDED)
        await asyncio.sleep(10_000)
        assert h.events[-1] == "suspended"
        assert s.next_attempt_in() is None
        s.command(Command.RESUME)
        s.command(Command.RESUME)
        await h.until(S.CONNECTED)
        s.command(Command.RECONNECT)
        await asyncio.sleep(1)
        assert h.has(S.CONNECTED)
        s.command(Command.DISCONNECT)
        await h.until(S.DISCONNECTED)
        s.command(Command.RESUME)
        await asyncio.sleep(10_000)
        assert h.has(S.DISCONNECTED)
        s.command(Command.CONNECT)
        await h.until(S.CONNECTED)
        up, again = ["connecting", "connected"], ["disconnected", "connecting", "connected"]
        assert h.transitions == [*up, "suspended", "resumed", "connected", *again, *again]


@virtually
async def test_disconnect_cuts_a_dial_short() -> None:
    """A command does not wait for a connect that hangs."""
    c = Scripted()
    c.on_connect = hang
    async with supervised(c, connection_timeout=100) as h:
        await asyncio.sleep(1)
        h.supervisor.command(Command.DISCONNECT)
        await h.until(S.DISCONNECTED, within=1)
        assert c.names() == ["connect", "disconnect"]


@virtually
async def test_without_auto_reconnect() -> None:
    """auto_reconnect false: one attempt, then nothing until somebody asks."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c, auto_reconnect=False) as h:
        await asyncio.sleep(10_000)
        assert h.has(S.ERROR)
        assert c.times("connect") == [0]
        c.on_connect = Scripted().on_connect
        h.supervisor.command(Command.CONNECT)
        await h.until(S.CONNECTED)


@virtually
async def test_cancelled_owner_disconnects() -> None:
    """Cancellation ends in disconnect, at any point."""
    c = Scripted()
    async with supervised(c) as h:
        await h.until(S.CONNECTED)
        h.task.cancel()
        await asyncio.wait([h.task])
        assert c.names() == ["connect", "disconnect"]
        assert h.has(S.DISCONNECTED)


@virtually
async def test_the_plugins_assignments_do_not_confuse() -> None:
    """A plugin may assign its status; the supervisor's word is final."""
    c = Scripted()

    async def boastful() -> bool:
        c.status = ConnectionStatus.CONNECTED
        c.reconnect_attempts = 77
        assert c.status is ConnectionStatus.CONNECTED
        raise ConnectionError("no")

    c.on_connect = boastful
    async with supervised(c) as h:
        await h.until(S.ERROR)
        assert c.status is ConnectionStatus.ERROR
        assert c.get_status()["status"] == "error"
        assert c.reconnect_attempts == 1


@virtually
async def test_old_session_cannot_break_a_new_one() -> None:
    """What a task of an earlier session reports is ignored."""
    c = Scripted()
    tasks: list[asyncio.Task[None]] = []

    async def leave_a_task() -> bool:
        async def later() -> None:
            await asyncio.sleep(8)
            c.connection_lost("I am late")

        if not tasks:
            tasks.append(asyncio.create_task(later()))
        return True

    c.on_connect = leave_a_task
    async with supervised(c, health_check_interval=1000) as h:
        await h.until(S.CONNECTED)
        c.connection_lost("first")
        await asyncio.sleep(6)
        assert h.has(S.CONNECTED)
        await asyncio.sleep(100)
        assert h.has(S.CONNECTED)
        assert tasks[0].done()


@virtually
async def test_retry_after_is_bounded() -> None:
    """A device that asks for a day gets as long as a suspended connection waits."""
    c = Scripted()

    async def go_away() -> bool:
        raise RetryAfter(86_400, "come back tomorrow")

    c.on_connect = go_away
    async with supervised(c, suspended_probe_interval=300):
        await asyncio.sleep(301)
        assert c.times("connect") == [0, 300]
