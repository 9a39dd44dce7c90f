"""The manager with real connections to a real server: which sockets live, and which must not be touched."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connmgr import BaseConnection, ConnectionManager, ConnectionStatus, ConnmgrError
from connmgr.config import ConfigProblems
from connmgr.construct import UnavailableConnection
from connmgr.manager import NoSuchConnectionError

IMPATIENT = {
    "health_check_interval": 0.1,
    "health_check_timeout": 1,
    "connection_timeout": 2,
    "disconnect_timeout": 0.2,
    "reconnect_delay_initial": 0.05,
    "reconnect_delay_max": 0.2,
    "stable_after": 0.3,
    "reconnect_max_attempts": 0,
    "dial_rate": 1000,
    "host_dial_rate": 1000,
}


class Device:
    """Answers every line with PONG, and knows its clients by the port they come from."""

    def __init__(self) -> None:
        self.port = 0
        self.accepted: list[int] = []
        self.live: dict[int, asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self.live.values()):
                writer.transport.abort()
            await until(lambda: not self.live)
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[1]
        self.accepted.append(client)
        self.live[client] = writer
        try:
            while await reader.readline():
                writer.write(b"PONG\n")
        except OSError:
            pass
        finally:
            writer.close()
            del self.live[client]


@pytest.fixture
async def device() -> AsyncIterator[Device]:
    device = Device()
    await device.start()
    yield device
    await device.stop()


@pytest.fixture
async def manager() -> AsyncIterator[ConnectionManager]:
    async with ConnectionManager() as manager:
        yield manager


class File:
    """A connections.json that the tests rewrite."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, connections: Mapping[str, Any], **settings: Any) -> Path:
        self.path.write_text(json.dumps({"settings": IMPATIENT | settings, "connections": connections}))
        return self.path


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "connections.json")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def entry(device: Device, **more: Any) -> dict[str, Any]:
    check = {"send": "PING\n", "expect": "PONG"}
    return {"type": "tcp", "config": {"host": "127.0.0.1", "port": device.port, "health_check": check}} | more


def all_are(manager: ConnectionManager, status: ConnectionStatus) -> bool:
    return all(connection.status is status for connection in manager.connections.values())


async def test_connect_lose_regain(manager: ConnectionManager, device: Device, file: File) -> None:
    """A server that goes away is in error, with reason and next attempt; when it is back, so is the connection."""
    await manager.load(file.write({"scale": entry(device)}))
    await until(lambda: all_are(manager, ConnectionStatus.CONNECTED))
    assert len(device.live) == 1
    await device.stop()
    await until(lambda: manager.describe("scale")["reconnect_attempts"] >= 2)
    down = manager.explain("scale")
    assert down["status"] in ("error", "connecting")
    assert down["connected_at"] is None
    assert f"cannot connect tcp://127.0.0.1:{device.port}: " in down["last_error"]
    assert down["last_error"] in down["outlook"]
    await device.start()
    await until(lambda: all_are(manager, ConnectionStatus.CONNECTED))
    await until(lambda: manager.describe("scale")["reconnect_attempts"] == 0)
    up = manager.explain("scale")
    assert up["last_error"] is None
    assert abs(time.time() - up["connected_at"]) < 30
    assert len(device.live) == 1
    names = [event["event"] for event in up["events"]]
    assert names[:3] == ["connecting", "connected", "error"]
    assert names[-1] == "connected"


async def test_reload_keeps_the_very_socket(manager: ConnectionManager, device: Device, file: File) -> None:
    """What did not change, or only in name or supervision, keeps socket, object and counters; the rest is replaced."""
    first = {name: entry(device) for name in ("untouched", "renamed", "supervised", "reconfigured", "removed")}
    await manager.load(file.write(first))
    await until(lambda: all_are(manager, ConnectionStatus.CONNECTED))
    connections = dict(manager.connections)
    ports = {name: port_of(connection) for name, connection in connections.items()}
    assert set(ports.values()) == set(device.live) == set(device.accepted)
    await connections["untouched"].request(b"PING\n")  # type: ignore[attr-defined]
    sent = connections["untouched"].stats["packets_sent"]

    second = {
        "added": entry(device),
        "reconfigured": entry(device) | {"config": entry(device)["config"] | {"timeout": 1.5}},
        "supervised": entry(device, settings={"health_check_interval": 7}),
        "renamed": entry(device, name="Scale 4"),
        "untouched": entry(device),
    }
    changes = await manager.load(file.write(second))
    assert (changes.added, changes.removed) == (("added",), ("removed",))
    assert (changes.changed, changes.settings_only) == (("reconfigured",), ("supervised",))
    await until(lambda: all_are(manager, ConnectionStatus.CONNECTED))
    assert list(manager.connections) == list(second)
    assert manager.describe("renamed")["name"] == "Scale 4"
    for name in ("untouched", "renamed", "supervised"):
        assert manager.connections[name] is connections[name]
        assert port_of(manager.connections[name]) == ports[name]
        assert ports[name] in device.live
    assert manager.connections["untouched"].stats["packets_sent"] >= sent
    assert manager.connections["reconfigured"] is not connections["reconfigured"]
    await until(lambda: len(device.live) == len(second))
    assert not {ports["removed"], ports["reconfigured"]} & set(device.live)
    assert len(device.accepted) == len(first) + 2
    assert manager.get_connection("removed") is None
    assert connections["removed"].status is ConnectionStatus.DISCONNECTED


def port_of(connection: BaseConnection[Any]) -> int:
    """The local port of a `tcp` connection, as the server sees it."""
    found: int = connection._stream._transport.get_extra_info("sockname")[1]  # type: ignore[attr-defined]
    return found


async def test_an_invalid_file_changes_nothing(manager: ConnectionManager, device: Device, file: File) -> None:
    """A reload that fails says everything that is wrong, and leaves every socket where it is."""
    await manager.load(file.write({"scale": entry(device)}))
    await until(lambda: all_are(manager, ConnectionStatus.CONNECTED))
    wrong = {"scale": entry(device, enabled="yes"), "other": {"type": "tpc"}, "a b": entry(device)}
    with pytest.raises(ConfigProblems) as caught:
        await manager.load(file.write(wrong))
    text = str(caught.value)
    assert all(part in text for part in ("connections.scale.enabled", 'did you mean "tcp"?', 'connections["a b"]'))
    assert list(manager.connections) == ["scale"]
    assert len(device.accepted) == 1
    assert manager.connections["scale"].is_connected()


async def test_disabled(manager: ConnectionManager, device: Device, file: File) -> None:
    """A disabled connection is shown and never dialled; commands say how to enable it; enabling is a reload."""
    await manager.load(file.write({"scale": entry(device, enabled=False), "meter": entry(device)}))
    await until(lambda: manager.connections["meter"].status is ConnectionStatus.CONNECTED)
    shown = manager.snapshot()["connections"]["scale"]
    assert (shown["enabled"], shown["status"], shown["next_attempt_at"]) == (False, "disconnected", None)
    assert manager.explain("scale")["outlook"] == "it is disabled in connections.json"
    with pytest.raises(ConnmgrError, match='scale: it is disabled; set "enabled": true and reload'):
        await manager.command("scale", "connect")
    assert len(device.accepted) == 1
    await manager.load(file.write({"scale": entry(device), "meter": entry(device)}))
    await until(lambda: all_are(manager, ConnectionStatus.CONNECTED))
    await manager.load(file.write({"scale": entry(device, enabled=False), "meter": entry(device)}))
    await until(lambda: len(device.live) == 1)
    assert manager.describe("scale")["status"] == "disconnected"
    assert len(device.accepted) == 2


async def test_commands(manager: ConnectionManager, device: Device, file: File) -> None:
    """Each command is obeyed on the wire, and answered with the connection as it is then."""
    await manager.load(file.write({"scale": entry(device)}))
    await until(lambda: all_are(manager, ConnectionStatus.CONNECTED))
    for command, status in (("disconnect", "disconnected"), ("suspend", "suspended")):
        assert (await manager.command("scale", command))["status"] == status
        await until(lambda: not device.live)
        await asyncio.sleep(0.3)  # longer than any pause: it stays so
        assert manager.describe("scale")["status"] == status
        await manager.command("scale", "resume" if command == "suspend" else "connect")
        await until(lambda: all_are(manager, ConnectionStatus.CONNECTED))
    (before,) = device.live
    await asyncio.to_thread(manager.post, "scale", "reconnect")
    await until(lambda: bool(device.live) and before not in device.live)
    with pytest.raises(NoSuchConnectionError, match="there is no connection 'press'"):
        await manager.command("press", "connect")
    with pytest.raises(NoSuchConnectionError):
        manager.describe("press")


class Choosy(BaseConnection):
    """Cannot be constructed without a host."""

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:
        super().__init__(connection_id, config, app_context)
        self.host = config["host"]

    async def connect(self) -> bool:
        return True

    async def disconnect(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return True

    async def health_check(self) -> bool:
        return True


async def test_what_cannot_be_constructed(manager: ConnectionManager, device: Device, file: File) -> None:
    """It is there, suspended, and says why; a command does not help; a better configuration does."""
    manager.register_connection_type("choosy", Choosy)
    await manager.load(file.write({"choosy": {"type": "choosy"}, "scale": entry(device)}))
    await until(lambda: manager.connections["scale"].status is ConnectionStatus.CONNECTED)
    await until(lambda: manager.describe("choosy")["status"] == "suspended")
    assert isinstance(manager.get_connection("choosy"), UnavailableConnection)
    shown = manager.describe("choosy")
    assert shown["connection_type"] == "choosy"
    assert shown["suspended_because"] == shown["last_error"] == "cannot construct choosy: KeyError: 'host'"
    await manager.command("choosy", "resume")
    await until(lambda: manager.describe("choosy")["status"] == "suspended")
    await manager.load(file.write({"choosy": {"type": "choosy", "config": {"host": "h"}}, "scale": entry(device)}))
    await until(lambda: all_are(manager, ConnectionStatus.CONNECTED))
    assert len(device.accepted) == 1


class Stuck(BaseConnection):
    """Blocks where its config says, until the test lets go."""

    let_go: threading.Event

    def connect(self) -> bool:
        return self._pass("connect")

    def disconnect(self) -> bool:
        return self._pass("disconnect")

    def is_connected(self) -> bool:
        return True

    def health_check(self) -> bool:
        return self._pass("health_check")

    def _pass(self, method: str) -> bool:
        if self.config["blocks"] == method:
            self.let_go.wait()
        return True


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    Stuck.let_go = threading.Event()
    yield Stuck.let_go
    Stuck.let_go.set()


async def test_stop_with_threads_that_hang(
    manager: ConnectionManager, device: Device, file: File, let_go: threading.Event
) -> None:
    """Stopping ends in time, names what it left behind, and has disconnected everything else."""
    manager.register_connection_type("stuck", Stuck)
    methods = ("connect", "health_check", "disconnect")
    stuck = {method: {"type": "stuck", "config": {"blocks": method}} for method in methods}
    await manager.load(file.write(stuck | {"scale": entry(device)}, connection_timeout=0.3, health_check_timeout=0.3))
    await until(lambda: manager.describe("health_check")["stuck"] == "health_check")
    await until(lambda: manager.describe("connect")["stuck"] == "connect")
    await until(lambda: manager.describe("scale")["status"] == "connected")
    hanging = [thread for thread in threading.enumerate() if thread.name.startswith("connmgr[")]
    assert sorted(thread.name for thread in hanging) == [
        "connmgr[connect]",
        "connmgr[disconnect]",
        "connmgr[health_check]",
    ]
    began = time.monotonic()
    late = await manager.stop()
    assert time.monotonic() - began < 4  # disconnect_timeout and the grace of a cancelled call
    assert sorted(late) == sorted(methods)
    assert not device.live
    assert manager.connections == {}
    let_go.set()
    await until(lambda: not any(thread.is_alive() for thread in hanging))


async def test_a_stuck_connection_delays_nobody(
    manager: ConnectionManager, device: Device, file: File, let_go: threading.Event
) -> None:
    """While one hangs, another is lost and regained; let go, the one that hung is connected too."""
    manager.register_connection_type("stuck", Stuck)
    stuck = {"type": "stuck", "config": {"blocks": "connect"}}
    await manager.load(file.write({"stuck": stuck, "scale": entry(device)}, connection_timeout=0.1))
    await until(lambda: manager.describe("stuck")["stuck"] == "connect")
    assert len([thread for thread in threading.enumerate() if thread.name == "connmgr[stuck]"]) == 1
    await device.stop()
    await until(lambda: manager.describe("scale")["status"] == "error")
    await device.start()
    await until(lambda: manager.describe("scale")["status"] == "connected")
    await until(lambda: "was given up and still has not returned" in str(manager.describe("stuck")["last_error"]))
    let_go.set()
    await until(lambda: manager.describe("stuck")["status"] == "connected")
    assert manager.describe("stuck")["stuck"] is None


async def test_two_managers(device: Device, tmp_path: Path) -> None:
    """Two in one process share nothing: types, ids, events, and the end of one leaves the other alone."""
    events: dict[str, list[str]] = {"one": [], "two": []}
    path = File(tmp_path / "connections.json").write({"scale": entry(device)})
    async with ConnectionManager(node="one") as one:
        async with ConnectionManager(node="two") as two:
            for manager in (one, two):
                seen = events[manager.node]
                manager.on_event("disconnected", lambda connection, seen=seen: seen.append(connection.connection_id))  # type: ignore[misc]
            one.register_connection_type("choosy", Choosy)
            two.register_connection_type("choosy", Stuck)
            assert one.registry.get("choosy") is not two.registry.get("choosy")
            await asyncio.gather(one.load(path), two.load(path))
            await until(lambda: all_are(one, ConnectionStatus.CONNECTED) and all_are(two, ConnectionStatus.CONNECTED))
            assert one.connections["scale"] is not two.connections["scale"]
            assert {one.snapshot()["node"], two.snapshot()["node"]} == {"one", "two"}
            assert len(device.live) == 2
        await until(lambda: len(device.live) == 1)
        assert events == {"one": [], "two": ["scale"]}
        assert one.connections["scale"].status is ConnectionStatus.CONNECTED
        assert two.connections == {}
    assert events["one"] == ["scale"]


async def test_stopping_twice_and_starting_again(manager: ConnectionManager, device: Device, file: File) -> None:
    """A stopped manager is empty, stopping it again does nothing, and it can be loaded again."""
    path = file.write({"scale": entry(device)})
    for round_ in (1, 2):
        await manager.load(path)
        await until(lambda: all_are(manager, ConnectionStatus.CONNECTED))
        assert await manager.stop() == []
        assert await manager.stop() == []
        await until(lambda: not device.live)
        assert len(device.accepted) == round_
