"""What once went wrong in supervising one connection; most of it was found by the state machine of the invariants."""

import asyncio

from connmgr import AuthError, RetryAfter
from connmgr.commands import Command
from connmgr.dialing import DialLimiter
from connmgr.events import EventLog
from connmgr.settings import GlobalSettings
from connmgr.states import ConnectionStatus as S
from connmgr.supervisor import Supervisor
from tests.unit.scripted import Scripted, Stubborn, hang, refuse, supervised, virtually


@virtually
async def test_cancelled_during_connect() -> None:
    """An owner that is cancelled while it dials cuts the dial off, disconnects and ends disconnected."""
    c = Scripted()
    c.on_connect = hang
    async with supervised(c) as h:
        await asyncio.sleep(1)
        h.task.cancel()
        await asyncio.wait([h.task], timeout=1)
        assert h.task.cancelled()
        assert c.names() == ["connect", "disconnect"]
        assert h.status is S.DISCONNECTED


@virtually
async def test_cancelled_during_disconnect() -> None:
    """Cancelled while it hangs up, an owner leaves the disconnect its time."""
    c = Scripted()
    finished = []

    async def slowly() -> bool:
        await asyncio.sleep(2)
        finished.append(True)
        return True

    c.on_disconnect = slowly
    async with supervised(c) as h:
        await h.until(S.CONNECTED)
        c.connection_lost("unplugged")
        await h.until(S.ERROR)
        h.task.cancel()
        await asyncio.wait([h.task], timeout=3)
        assert finished == [True]
        assert c.names() == ["connect", "disconnect"]
        assert h.status is S.DISCONNECTED


@virtually
async def test_cancelled_twice() -> None:
    """A second cancellation ends the waiting; the status is right all the same."""
    c = Scripted()
    c.on_disconnect = hang
    async with supervised(c) as h:
        await h.until(S.CONNECTED)
        h.task.cancel()
        await asyncio.sleep(0.1)
        h.task.cancel()
        await asyncio.wait([h.task], timeout=0.1)
        assert h.task.cancelled()
        assert h.status is S.DISCONNECTED
        c.on_disconnect = Scripted().on_disconnect
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


@virtually
async def test_a_zombie_outlives_its_owner() -> None:
    """A connect that returns after its owner has gone still gets its disconnect: a PLC has few slots."""
    c = Scripted()
    c.on_connect = stubborn = Stubborn()
    async with supervised(c) as h:
        await asyncio.sleep(1)
        h.supervisor.stop()
        await asyncio.wait([h.task], timeout=2)
        assert h.task.done()
        assert c.names() == ["connect"]
        stubborn.let_go.set()
        await asyncio.sleep(1)
        assert c.names() == ["connect", "disconnect"]


@virtually
async def test_a_command_does_not_undo_the_stop() -> None:
    """What is asked of an owner that is being removed comes too late."""
    c = Scripted()
    async with supervised(c) as h:
        await h.until(S.CONNECTED)
        h.supervisor.stop()
        h.supervisor.command(Command.CONNECT)
        await asyncio.wait([h.task], timeout=1)
        assert h.task.done()


@virtually
async def test_auto_reconnect_switched_on() -> None:
    """A link that stays down because of auto_reconnect false is dialled when a reload makes it true."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c, auto_reconnect=False) as h:
        await asyncio.sleep(100)
        assert h.status is S.ERROR
        c.on_connect = Scripted().on_connect
        h.supervisor.use(h.settings.model_copy(update={"auto_reconnect": True}))
        await h.until(S.CONNECTED, within=1)


@virtually
async def test_probes_switched_on_and_off() -> None:
    """A link that is suspended already goes by the suspended_probe_interval of a reload."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c, reconnect_max_attempts=1, suspended_probe_interval=0) as h:
        await asyncio.sleep(10_000)
        assert h.supervisor.next_attempt_in() is None
        h.supervisor.use(h.settings.model_copy(update={"suspended_probe_interval": 60}))
        assert h.supervisor.next_attempt_in() == 60
        await asyncio.sleep(50)
        h.supervisor.use(h.settings.model_copy(update={"suspended_probe_interval": 600}))
        await asyncio.sleep(20)
        assert c.times("connect") == [0, 10_060]
        h.supervisor.use(h.settings)
        await asyncio.sleep(10_000)
        assert len(c.times("connect")) == 2
        h.supervisor.command(Command.SUSPEND)
        h.supervisor.use(h.settings.model_copy(update={"suspended_probe_interval": 60}))
        await asyncio.sleep(10_000)
        assert len(c.times("connect")) == 2


@virtually
async def test_a_shorter_longest_pause() -> None:
    """A reload that shortens reconnect_delay_max shortens the pause that is going on."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c, reconnect_delay_initial=3600, reconnect_delay_max=3600) as h:
        await asyncio.sleep(10)
        h.supervisor.use(h.settings.model_copy(update={"reconnect_delay_initial": 5, "reconnect_delay_max": 60}))
        await asyncio.sleep(61)
        assert c.times("connect")[:2] == [0, 70]


@virtually
async def test_no_probe_without_auto_reconnect() -> None:
    """A wrong password suspends; with auto_reconnect false nobody tries again unasked."""
    c = Scripted()

    async def wrong() -> bool:
        raise AuthError("cannot log in")

    c.on_connect = wrong
    async with supervised(c, auto_reconnect=False) as h:
        await asyncio.sleep(10_000)
        assert h.status is S.SUSPENDED
        assert c.times("connect") == [0]


@virtually
async def test_a_zombie_that_returns_while_its_owner_queues() -> None:
    """A call that was given up returns while its owner waits to dial: disconnect comes before connect."""
    c = Scripted()
    c.on_connect = stubborn = Stubborn()
    limits = {"dial_rate": 0.01, "dial_burst": 1}
    async with supervised(c, connection_timeout=1, reconnect_delay_initial=1, **limits) as h:
        await asyncio.sleep(50)
        assert c.names() == ["connect"]
        stubborn.let_go.set()
        await h.until(S.CONNECTED)
        assert c.names() == ["connect", "disconnect", "connect"]


@virtually
async def test_a_shorter_interval_during_a_check() -> None:
    """A health_check_interval that changes while a check is under way counts from then on."""
    c = Scripted()

    async def slow() -> bool:
        await asyncio.sleep(2)
        return True

    c.on_check = slow
    async with supervised(c, health_check_interval=3600) as h:
        await h.until(S.CONNECTED)
        while c.running == 0:
            await asyncio.sleep(1)
        h.supervisor.use(h.settings.model_copy(update={"health_check_interval": 10}))
        await asyncio.sleep(30)
        assert len(c.times("health_check")) >= 3


@virtually
async def test_stable_in_spite_of_rounding() -> None:
    """opened + stable_after - opened may be less than stable_after: the owner must not spin over it."""
    for n in range(200):
        await asyncio.sleep(0.1 + n / 977)
        c = Scripted()
        async with supervised(c, stable_after=30 + n / 1013) as h:
            c.on_connect = refuse
            await h.until(S.ERROR)
            c.on_connect = Scripted().on_connect
            await asyncio.sleep(100)
            assert c.reconnect_attempts == 0


@virtually
async def test_a_loss_during_a_health_check_is_seen_at_once() -> None:
    """A link that the plugin reports as lost is not held up by a health check that would run to its deadline."""
    c = Scripted()
    c.on_check = hang
    loop = asyncio.get_running_loop()
    async with supervised(c, health_check_interval=10, health_check_timeout=5) as h:
        while "health_check" not in c.names():
            await asyncio.sleep(0.01)
        c.connection_lost("unplugged")
        began = loop.time()
        await h.until(S.ERROR)
        assert loop.time() - began < 0.1
        await asyncio.sleep(1)
        assert c.names() == ["connect", "health_check", "disconnect"]
        assert c.last_error == "unplugged"


@virtually
async def test_a_health_check_that_notices_the_loss_itself_says_why() -> None:
    """The failed check is an event of its own when it ends by itself, although the loss was reported before."""
    c = Scripted()

    async def read() -> bool:
        await asyncio.sleep(0.2)
        c.connection_lost("the peer closed")
        await asyncio.sleep(0.01)
        raise EOFError("no answer, the peer closed")

    c.on_check = read
    async with supervised(c, health_check_interval=10) as h:
        await h.until(S.ERROR)
        assert h.events == ["connecting", "connected", "health_check_failed", "error"]
        assert c.last_error == "EOFError: no answer, the peer closed"


@virtually
async def test_suspend_taken_back_before_it_happened() -> None:
    """Suspend and resume in one breath leave a link that is up as it is: losing it is no failed probe."""
    c = Scripted()
    async with supervised(c, health_check_interval=1000) as h:
        await h.until(S.CONNECTED)
        h.supervisor.command(Command.SUSPEND)
        h.supervisor.command(Command.RESUME)
        await asyncio.sleep(1)
        assert h.events == ["connecting", "connected"]
        c.connection_lost("unplugged")
        await asyncio.sleep(1)
        assert h.has(S.ERROR)


@virtually
async def test_reconnect_after_a_suspension_that_has_not_happened_yet() -> None:
    """Suspend and reconnect in one breath reconnect."""
    c = Scripted()
    async with supervised(c, health_check_interval=1000) as h:
        await h.until(S.CONNECTED)
        h.supervisor.command(Command.SUSPEND)
        h.supervisor.command(Command.RECONNECT)
        await asyncio.sleep(1)
        assert h.events == ["connecting", "connected", "disconnected", "connecting", "connected"]


@virtually
async def test_the_outlook_names_the_command_that_helps() -> None:
    """Suspended asks for resume, anything else that stays down for connect: each of them does what it says."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c, auto_reconnect=False) as h:
        await h.until(S.ERROR)
        assert h.supervisor.outlook().endswith("stays so until it is asked to connect")
        h.supervisor.command(Command.CONNECT)
        await asyncio.sleep(1)
        assert len(c.times("connect")) == 2
        h.supervisor.command(Command.SUSPEND)
        await asyncio.sleep(1)
        assert h.supervisor.outlook().endswith("stays so until it is asked to resume")
        h.supervisor.command(Command.RESUME)
        await asyncio.sleep(1)
        assert len(c.times("connect")) == 3


@virtually
async def test_a_pause_that_is_not_a_number() -> None:
    """RetryAfter(nan) is a bug of the plugin, with the usual pause: it must not mean none, nor reach the status."""
    c = Scripted()

    async def ask_for_nonsense() -> bool:
        raise RetryAfter(float("nan"))

    c.on_connect = ask_for_nonsense
    async with supervised(c) as h:
        await asyncio.sleep(6)
        assert c.times("connect") == [0, 5]
        assert h.supervisor.record.bugs == 2


@virtually
async def test_a_check_that_a_command_cut_off_and_another_took_back() -> None:
    """Suspend during a check that ignores its cancellation, then resume at once: that session is not used again."""
    c = Scripted()
    async with supervised(c, health_check_interval=10) as h:
        await h.until(S.CONNECTED)
        c.on_check = stubborn = Stubborn()
        while c.running == 0:
            await asyncio.sleep(0.1)
        h.supervisor.command(Command.SUSPEND)
        await asyncio.sleep(0.1)
        h.supervisor.command(Command.RESUME)
        await asyncio.sleep(20)
        assert h.status is S.ERROR
        assert "health_check() was given up" in (c.last_error or "")
        stubborn.let_go.set()
        c.on_check = Scripted().on_check
        await h.until(S.CONNECTED)
        assert c.names()[:4] == ["connect", "health_check", "disconnect", "connect"]


@virtually
async def test_the_last_disconnect_has_a_deadline() -> None:
    """A zombie that returns after its owner has gone gets its disconnect, and that one may not hang for ever either."""
    c = Scripted()
    c.on_connect = stubborn = Stubborn()
    c.on_disconnect = hang
    async with supervised(c, connection_timeout=1) as h:
        await asyncio.sleep(2)
        h.task.cancel()
        await asyncio.wait([h.task])
        stubborn.let_go.set()
        await asyncio.sleep(1)
        assert c.names() == ["connect", "disconnect"]
        assert "connmgr[press].disconnect" in {task.get_name() for task in asyncio.all_tasks()}
        await asyncio.sleep(5)
        assert "connmgr[press].disconnect" not in {task.get_name() for task in asyncio.all_tasks()}


@virtually
async def test_a_health_check_that_fails_for_good_needs_no_second_one() -> None:
    """A permanent failure of a health check suspends at once, however many failures are tolerated."""
    c = Scripted()

    async def locked_out() -> bool:
        raise AuthError("the password has expired")

    c.on_check = locked_out
    async with supervised(c, health_check_interval=10, health_check_failures=3) as h:
        await h.until(S.SUSPENDED, within=20)
        assert len(c.times("health_check")) == 1


class Clumsy(Supervisor):
    """Fails three times by a bug of its own."""

    __slots__ = ()

    async def _step(self) -> None:
        if self.crashes < 3:
            raise ZeroDivisionError("a bug of ours")
        await super()._step()


@virtually
async def test_a_bug_of_ours_neither_ends_the_watch_nor_spins() -> None:
    """It is counted and said, a second lies between two of them, and after the longest pause the link is opened."""
    c = Scripted()
    settings = GlobalSettings()
    log = EventLog()
    supervisor = Clumsy(c, settings, host="h", limiter=DialLimiter(settings), events=log)
    owner = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0.5)
    assert supervisor.crashes == 1
    await asyncio.sleep(2)
    assert supervisor.crashes == 3
    await asyncio.sleep(59)
    assert c.names() == []
    await asyncio.sleep(2)
    assert c.names() == ["connect"]
    supervisor.stop()
    await owner
    await log.close()
