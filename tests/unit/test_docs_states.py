"""What docs/states.md says of counting, probes and checks, as far as no other test pins it."""

from __future__ import annotations

import asyncio

import pytest

from connmgr import AuthError, ConnectionStatus
from connmgr.commands import Command
from connmgr.settings import SupervisionSettings
from tests.unit.scripted import Scripted, hang, refuse, supervised, virtually, yes

S = ConnectionStatus


async def wrong_password() -> bool:
    raise AuthError("cannot log in: the password is wrong")


@virtually
async def test_a_permanent_failure_is_probed() -> None:
    """A wrong password is tried once every suspended_probe_interval, without any other attempt."""
    c = Scripted()
    c.on_connect = wrong_password
    async with supervised(c, suspended_probe_interval=300):
        await asyncio.sleep(1000)
        assert c.times("connect") == pytest.approx([0, 300, 600, 900], abs=1)


@virtually
async def test_a_permanent_failure_without_probes() -> None:
    """With suspended_probe_interval 0 only a command tries again."""
    c = Scripted()
    c.on_connect = wrong_password
    async with supervised(c, suspended_probe_interval=0) as h:
        await asyncio.sleep(100_000)
        assert c.times("connect") == [0]
        h.supervisor.command(Command.RESUME)
        await asyncio.sleep(100_000)
        assert len(c.times("connect")) == 2


@virtually
async def test_a_permanent_failure_without_auto_reconnect() -> None:
    """It suspends also with auto_reconnect false, and is not probed."""
    c = Scripted()
    c.on_connect = wrong_password
    async with supervised(c, auto_reconnect=False) as h:
        await asyncio.sleep(10_000)
        assert h.has(S.SUSPENDED)
        assert c.times("connect") == [0]


@virtually
async def test_after_a_resume_that_fails_the_probes_follow() -> None:
    """Also when it had been suspended by command, which is not probed."""
    c = Scripted()
    async with supervised(c) as h:
        await h.until(S.CONNECTED)
        h.supervisor.command(Command.SUSPEND)
        await asyncio.sleep(10_000)
        c.on_connect = refuse
        h.supervisor.command(Command.RESUME)
        await asyncio.sleep(1)
        assert h.has(S.SUSPENDED)
        assert h.supervisor.next_attempt_in() == pytest.approx(299, abs=1)


@virtually
async def test_a_probe_that_is_lost_before_it_is_stable() -> None:
    """It is suspended again at once."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c, reconnect_max_attempts=1, stable_after=30) as h:
        await h.until(S.SUSPENDED)
        c.on_connect = yes
        await h.until(S.CONNECTED)
        await asyncio.sleep(10)
        c.connection_lost("gone")
        await asyncio.sleep(1)
        assert h.has(S.SUSPENDED)


@virtually
async def test_what_clears_the_count() -> None:
    """disconnect and connect do, reconnect does not."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c) as h:
        await asyncio.sleep(20)
        before = c.reconnect_attempts
        h.supervisor.command(Command.RECONNECT)
        await asyncio.sleep(1)
        assert c.reconnect_attempts == before + 1
        h.supervisor.command(Command.DISCONNECT)
        await h.until(S.DISCONNECTED)
        h.supervisor.command(Command.CONNECT)
        await asyncio.sleep(1)
        assert c.reconnect_attempts == 1


@virtually
async def test_a_check_that_ran_out_of_time() -> None:
    """It counts as lost at once, whatever health_check_failures says."""
    c = Scripted()
    c.on_check = hang
    async with supervised(c, health_check_failures=5, health_check_interval=30, health_check_timeout=5) as h:
        await h.until(S.CONNECTED)
        await h.until(S.ERROR)
        assert len(c.times("health_check")) == 1
        assert h.events.count("health_check_failed") == 1


@virtually
async def test_a_stable_link_clears_what_is_shown() -> None:
    """The count and last_error are cleared when the link reaches stable_after, not when it connects."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c, stable_after=30) as h:
        await asyncio.sleep(6)
        c.on_connect = yes
        await h.until(S.CONNECTED)
        await asyncio.sleep(29)
        assert (c.reconnect_attempts, c.last_error) == (2, "connection refused")
        await asyncio.sleep(2)
        assert (c.reconnect_attempts, c.last_error) == (0, None)


@virtually
async def test_a_broken_link_is_tried_after_a_pause() -> None:
    """A loss that the plugin reports leads to the first pause, not to an attempt at once."""
    c = Scripted()
    async with supervised(c, stable_after=30) as h:
        await h.until(S.CONNECTED)
        await asyncio.sleep(100)
        c.connection_lost("gone")
        await asyncio.sleep(0.01)
        assert h.has(S.ERROR)
        assert h.supervisor.next_attempt_in() == pytest.approx(5, abs=0.1)


@virtually
async def test_other_settings_shorten_what_is_running() -> None:
    """A shorter longest pause, a shorter probe interval, and auto_reconnect count at once."""
    c = Scripted()
    c.on_connect = refuse
    async with supervised(c, reconnect_max_attempts=0, reconnect_delay_initial=60) as h:
        await asyncio.sleep(1)
        h.supervisor.use(SupervisionSettings(reconnect_delay_initial=5, reconnect_delay_max=5))
        assert h.supervisor.next_attempt_in() == pytest.approx(5, abs=0.1)
        h.supervisor.use(SupervisionSettings(auto_reconnect=False))
        await asyncio.sleep(1000)
        assert h.supervisor.next_attempt_in() is None
        attempts = len(c.times("connect"))
        h.supervisor.use(SupervisionSettings())
        await asyncio.sleep(1)
        assert len(c.times("connect")) == attempts + 1
        c.on_connect = wrong_password
        await h.until(S.SUSPENDED)
        h.supervisor.use(SupervisionSettings(suspended_probe_interval=20))
        assert h.supervisor.next_attempt_in() == pytest.approx(20, abs=0.1)
