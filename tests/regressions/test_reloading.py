"""What once went wrong while a configuration was taken over."""

import asyncio
import threading
import time

import pytest

import connmgr.construct
from connmgr import AppContext
from connmgr.construct import UnavailableConnection, construct
from connmgr.registry import Registry
from tests.integration.test_construct import Good, Sleeper, configured
from tests.unit.scripted import hang, virtually
from tests.unit.test_manager import entry, running, wanted


@virtually
async def test_an_owner_that_was_told_to_end_is_no_dead_owner() -> None:
    """While a reload waits for a slow disconnect, those that have ended already raise no alarm and cost no watchdog."""
    async with running(entry("quick"), entry("slow", config={"disconnect": hang})) as manager:
        reload = asyncio.create_task(manager.apply(wanted()))
        await asyncio.sleep(1)
        assert not reload.done()
        assert manager.dead_owners() == []
        await reload


def test_many_constructors_that_sleep_cost_the_time_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of a type has the whole deadline; the others of that type have been warned about."""
    monkeypatch.setattr(connmgr.construct, "DEADLINE", 1.0)
    monkeypatch.setattr(Sleeper, "let_go", threading.Event())
    registry = Registry()
    registry.register("Good", Good)
    registry.register("Sleeper", Sleeper)
    sleepers = [configured("Sleeper", f"s{n}") for n in range(20)]
    began = time.monotonic()
    made = construct([*sleepers, configured("Good")], registry, AppContext(manager=None))  # type: ignore[arg-type]
    took = time.monotonic() - began
    Sleeper.let_go.set()
    assert took < 5
    assert type(made["Good"]) is Good
    assert all(isinstance(made[config.id], UnavailableConnection) for config in sleepers)
