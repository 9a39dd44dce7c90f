"""The set of connections: reload by diff, commands, what is told of it, and the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connmgr import BaseConnection, ConnmgrError
from connmgr.commands import Command
from connmgr.config import Config, ConnectionConfig
from connmgr.manager import ConnectionManager, NoSuchConnectionError
from connmgr.settings import GlobalSettings
from tests.unit.scripted import Scripted, Stubborn, hang, refuse, virtually

MADE: list["Plain"] = []


class Plain(Scripted):
    """Constructed as the manager does it."""

    def __init__(self, connection_id: str, config: Any, app_context: Any) -> None:
        super().__init__(connection_id)
        self.on_connect = config.get("connect", self.on_connect)
        self.on_disconnect = config.get("disconnect", self.on_disconnect)
        MADE.append(self)


class Unwilling(BaseConnection):
    """Cannot be constructed."""

    def __init__(self, *_: Any) -> None:
        raise SystemExit("not today")

    async def connect(self) -> bool:
        return True

    async def disconnect(self) -> bool:
        return True

    async def health_check(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return True


def wanted(*entries: ConnectionConfig, **limits: Any) -> Config:
    return Config(path=Path("x"), settings=GlobalSettings(**limits), connections={entry.id: entry for entry in entries})


def entry(name: str, kind: str = "plain", *, n: int = 0, enabled: bool = True, label: str = "", config: Any = None,
          **settings: Any) -> ConnectionConfig:  # fmt: skip
    return ConnectionConfig(
        id=name, type=kind, name=label or name, enabled=enabled, config=config or {}, raw_config={},
        settings=GlobalSettings(**settings).supervision(), fingerprint=f"{name}{n}",
    )  # fmt: skip


@asynccontextmanager
async def running(*entries: ConnectionConfig) -> AsyncIterator[ConnectionManager]:
    MADE.clear()
    async with ConnectionManager() as manager:
        manager.register_connection_type("plain", Plain)
        manager.register_connection_type("unwilling", Unwilling)
        await manager.apply(wanted(*entries))
        await asyncio.sleep(1)
        yield manager


def statuses(manager: ConnectionManager) -> dict[str, str]:
    return {name: found["status"] for name, found in manager.snapshot()["connections"].items()}


@virtually
async def test_reload_by_diff() -> None:
    """What did not change keeps its session; the rest comes, goes, or is replaced; the order is the file's."""
    async with running(entry("a"), entry("b"), entry("c"), entry("d")) as manager:
        a, b, c, d = MADE
        config = wanted(
            entry("e"),
            entry("a"),
            entry("b", n=1),
            entry("d", label="Dora", health_check_interval=7),
            entry("f", enabled=False),
        )
        changes = manager.changes(config)
        assert await manager.apply(config) == changes
        assert (changes.added, changes.removed, changes.changed) == (("e", "f"), ("c",), ("b",))
        await asyncio.sleep(1)
        assert list(manager.connections) == ["e", "a", "b", "d", "f"]
        assert a.names() == d.names() == ["connect"]
        assert b.names() == c.names() == ["connect", "disconnect"]
        assert manager.get_connection("a") is a
        assert manager.get_connection("b") is not b
        assert manager.get_connection("c") is None
        assert statuses(manager) == dict.fromkeys("eabd", "connected") | {"f": "disconnected"}
        assert manager.describe("d")["name"] == "Dora"
        assert manager.changes(config).is_empty
    assert [one.names()[-1] for one in MADE if one.calls] == ["disconnect"] * 6


@virtually
async def test_a_plugin_that_cannot_be_constructed() -> None:
    """It is shown as suspended, with the reason, and hurts nobody else."""
    async with running(entry("a"), entry("b", "unwilling"), entry("c", "nobody's")) as manager:
        assert statuses(manager) == {"a": "connected", "b": "suspended", "c": "suspended"}
        assert "SystemExit: not today" in manager.describe("b")["suspended_because"]
        assert "nobody's" in manager.describe("c")["last_error"]


@virtually
async def test_commands() -> None:
    """A command is acted on when it returns; ids and words that do not exist are named."""
    async with running(entry("a"), entry("off", enabled=False)) as manager:
        assert (await manager.command("a", "suspend"))["status"] == "suspended"
        assert manager.describe("a")["suspended_because"] == "suspended by command"
        await manager.command("a", Command.RESUME)
        await asyncio.sleep(1)
        assert (await manager.command("a", "disconnect"))["status"] == "disconnected"
        manager.post("a", "connect")
        await asyncio.sleep(1)
        assert statuses(manager)["a"] == "connected"
        with pytest.raises(NoSuchConnectionError, match="'b'"):
            manager.post("b", "connect")
        with pytest.raises(ConnmgrError, match="it is disabled"):
            await manager.command("off", "connect")
        with pytest.raises(ValueError, match="fly"):
            manager.post("a", "fly")


@virtually
async def test_a_command_that_takes_long() -> None:
    """Waiting for a command is bounded, whatever the plugin does."""
    stubborn = Stubborn()
    async with running(entry("a", config={"disconnect": hang}, disconnect_timeout=1000)) as manager:
        loop = asyncio.get_running_loop()
        start = loop.time()
        assert (await manager.command("a", "disconnect", timeout=3))["status"] == "connected"
        assert 3 <= loop.time() - start < 4.1
        MADE[0].on_disconnect = stubborn
        stubborn.let_go.set()
        for task in asyncio.all_tasks():
            if task.get_name() == "connmgr[a].disconnect":
                task.cancel()
        await asyncio.sleep(1)


@virtually
async def test_a_plugin_that_spoils_its_status() -> None:
    """Whatever a plugin assigns to stats, status or last_error: all are told of, it as far as can be."""
    async with running(entry("a"), entry("b"), entry("c"), entry("d"), entry("off", enabled=False)) as manager:
        MADE[0].stats = None  # type: ignore[assignment]
        del MADE[1].stats["errors"]  # type: ignore[misc]
        MADE[2].last_error = ValueError("an exception")  # type: ignore[assignment]
        MADE[3].last_error = object()  # type: ignore[assignment]
        MADE[4].status = "up"  # type: ignore[assignment]
        found = manager.snapshot()["connections"]
        assert [one["status"] for one in found.values()] == ["connected"] * 4 + ["disconnected"]
        assert "cannot be told" in found["a"]["last_error"]
        assert found["c"]["last_error"] == "ValueError: an exception"
        assert isinstance(found["d"]["last_error"], str)


@virtually
async def test_figures() -> None:
    """What is planned, how good the link is, and why it is as it is."""
    async with running(entry("a", config={"connect": refuse}, reconnect_jitter=0), entry("b")) as manager:
        found = manager.describe("a")
        assert found["next_attempt_at"] - found["since"] == pytest.approx(5, abs=1.5)
        assert found["reconnect_attempts"] == 1
        assert found["bugs"] == 0
        assert manager.describe("b")["quality"]["availability"] == pytest.approx(1, abs=0.01)
        explained = manager.explain("a", most=1)
        assert explained["outlook"] == "it is in error (connection refused); next attempt in 4 s"
        assert [event["event"] for event in explained["events"]] == ["error"]


@virtually
async def test_the_end_is_bounded() -> None:
    """Stopping takes as long as the slowest deadline, not their sum, and names what it left behind."""
    stubborn = Stubborn()
    slow = [entry(str(n), config={"disconnect": hang}) for n in range(10)]
    MADE.clear()
    manager = ConnectionManager()
    manager.register_connection_type("plain", Plain)
    await manager.apply(wanted(*slow, entry("zombie", config={"disconnect": stubborn})))
    await asyncio.sleep(1)
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert await manager.stop() == ["zombie"]
    assert loop.time() - start < 8
    assert all(one.names() == ["connect", "disconnect"] for one in MADE)
    stubborn.let_go.set()
    await asyncio.sleep(1)


async def test_post_from_another_thread() -> None:
    """`post` may be called from any thread: the owner is told in the event loop, never touched from outside."""
    asyncio.get_running_loop().set_debug(True)  # with it, asyncio refuses what is not thread-safe
    async with running(entry("a")) as manager:
        await asyncio.to_thread(manager.post, "a", "suspend")
        async with asyncio.timeout(5):
            while statuses(manager)["a"] != "suspended":
                await asyncio.sleep(0.01)
