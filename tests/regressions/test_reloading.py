"""What once went wrong while a configuration was taken over."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import connmgr.construct
from connmgr import AppContext, ConnectionManager, ConnmgrError
from connmgr.config import Config
from connmgr.construct import UnavailableConnection, construct
from connmgr.daemon import Daemon, RunOptions
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


@virtually
async def test_a_reload_that_is_cancelled_leaves_nothing_dead() -> None:
    """What a cancelled reload has stopped is no longer there, so that the next one brings it back."""
    async with running(entry("kept"), entry("slow", config={"disconnect": hang})) as manager:
        before = manager.config
        assert before is not None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await manager.apply(wanted(entry("kept"), entry("slow", n=1)))
        assert list(manager.connections) == ["kept"]
        assert set(manager.snapshot()["connections"]) == {"kept"}
        changes = await manager.apply(before)
        assert (changes.added, changes.unchanged) == (("slow",), ("kept",))
        await asyncio.sleep(10)
        assert {connection.status.value for connection in manager.connections.values()} == {"connected"}


def daemon(folder: Path) -> Daemon:
    options = RunOptions(config=folder / "connections.json", socket=folder / "socket", state_dir=folder)
    return Daemon(options, None)  # type: ignore[arg-type]  # nobody looks at the log here


async def test_the_file_that_was_read_last_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two reloads at once (a signal and a command): one that took long to read does not bring an older file back."""
    files = [(0.2, wanted(entry("old"))), (0.0, wanted(entry("new")))]
    applied: list[list[str]] = []

    def read(*_: Any, **__: Any) -> Config:
        seconds, config = files.pop(0)
        time.sleep(seconds)
        return config

    async def apply(self: ConnectionManager, config: Config) -> Any:
        applied.append(list(config.connections))
        return self.changes(config)

    monkeypatch.setattr(ConnectionManager, "read", read)
    monkeypatch.setattr(ConnectionManager, "apply", apply)
    both = daemon(tmp_path)
    await asyncio.gather(both.reload(), both.reload())
    assert applied == [["old"], ["new"]]


async def test_a_reload_that_fails_for_an_unknown_reason_is_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a thread to read the file in, the reload fails and says so; the next signal is heard all the same."""
    reasons = [RuntimeError("can't start new thread"), ConnmgrError("cannot reload: connmgr is stopping"), None]
    done = asyncio.Event()

    async def reload(self: Daemon) -> None:
        if reason := reasons.pop(0):
            raise reason
        done.set()

    monkeypatch.setattr(Daemon, "reload", reload)
    listening = daemon(tmp_path)
    task = asyncio.create_task(listening._reload_on_signal())
    while reasons:
        listening._ask_to_reload()
        await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await done.wait()
    task.cancel()
    await asyncio.wait([task])
