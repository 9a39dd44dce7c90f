"""The example that everybody copies, against a device behind a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from connmgr import BaseConnection, ConnectionManager, ConnectionStatus, NoAnswerError, NotConnectedError
from connmgr.testing import FaultProxy, contract_tests
from connmgr_tcp.simulator import TcpSimulator
from examples.plugins.custom_tcp import CustomTCPConnection

Until = Callable[[Callable[[], bool]], Awaitable[None]]
Opened = Callable[..., Coroutine[Any, Any, Any]]


async def echo(connection: CustomTCPConnection) -> bytes:
    """One exchange."""
    return await asyncio.to_thread(connection.request, b"ECHO 21.5\n")


TestContract = contract_tests(CustomTCPConnection, TcpSimulator, config={"timeout": 0.5}, exercise=echo)


@pytest.fixture
async def device() -> AsyncIterator[TcpSimulator]:
    async with TcpSimulator(port=0) as device:
        yield device


def config_of(device: TcpSimulator | FaultProxy) -> dict[str, Any]:
    return {"host": device.host, "port": device.port, "timeout": 1.0, "auto_reconnect": True}


def test_by_hand(device_thread: TcpSimulator) -> None:
    """Without a manager the class works too, and its own assignments are its status."""
    connection = CustomTCPConnection("by_hand", config_of(device_thread), None)
    assert connection.get_status()["status"] == "disconnected"
    assert connection.connect()
    assert connection.is_connected()
    assert connection.get_status()["status"] == "connected"
    assert connection.connected_at
    assert connection.health_check()
    assert connection.request(b"ECHO hello\n") == b"hello\n"
    assert connection.get_status()["stats"]["bytes_sent"] == len("ECHO hello\n")
    assert connection.disconnect()
    assert not connection.is_connected()
    assert connection.get_status()["status"] == "disconnected"


@pytest.fixture
def device_thread() -> Any:
    """A device for tests that block: it has a loop and a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    device = TcpSimulator(port=0)
    asyncio.run_coroutine_threadsafe(device.start(), loop).result(5)
    yield device
    asyncio.run_coroutine_threadsafe(device.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_the_application_uses_it(manager: ConnectionManager, device: TcpSimulator, opened: Opened) -> None:
    """Look it up, see that it is up, send and receive; the status has the keys and types that were promised."""
    connection = await opened("custom_tcp", config_of(device), health_check_interval=60)
    assert manager.get_connection("device") == connection
    assert manager.get_connection("press") is None
    assert list(manager.connections.keys()) == ["device"]
    assert connection.is_connected()
    assert await asyncio.to_thread(connection.send_data, b"ECHO one\n")
    assert await asyncio.to_thread(connection.receive_data) == b"one\n"
    status = connection.get_status()
    assert {key: type(value) for key, value in status.items()} == {
        "connection_id": str,
        "type": str,
        "status": str,
        "connected_at": float,
        "last_error": type(None),
        "reconnect_attempts": int,
        "stats": dict,
    }
    assert (status["type"], status["status"]) == ("CustomTCPConnection", "connected")
    assert status["stats"] == status["stats"] | {"packets_sent": 1, "packets_received": 1, "errors": 0}
    assert status["stats"]["bytes_received"] == len("one\n")
    assert isinstance(status["stats"]["last_activity"], float)


async def test_it_comes_back(manager: ConnectionManager, device: TcpSimulator, opened: Opened, until: Until) -> None:
    """A device that goes away and returns is connected again, with an event for each step, up to the last."""
    events: list[str] = []

    def note(name: str, connection: BaseConnection) -> None:
        events.append(f"{connection.connection_id} {name}")

    for name in ("connected", "error", "health_check_failed", "disconnected"):
        manager.on_event(name, partial(note, name))
    connection = await opened("custom_tcp", config_of(device))
    await device.stop()
    await until(lambda: connection.reconnect_attempts >= 2)
    assert not connection.is_connected()
    assert "cannot connect to 127.0.0.1:" in connection.last_error
    with pytest.raises(NotConnectedError, match="cannot use device: it is "):
        connection.request(b"ECHO anyone there\n")
    await device.start()
    await until(lambda: connection.status is ConnectionStatus.CONNECTED)
    assert await asyncio.to_thread(connection.request, b"ECHO again\n") == b"again\n"
    await until(lambda: connection.last_error is None)
    await manager.stop()
    counted = {name: events.count(f"device {name}") for name in ("connected", "health_check_failed", "disconnected")}
    assert counted == {"connected": 2, "health_check_failed": 1, "disconnected": 1}
    assert events.count("device error") >= 2  # the loss, and every attempt that failed


async def test_it_runs_in_a_thread_of_its_own(
    manager: ConnectionManager, device: TcpSimulator, opened: Opened, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """What connmgr calls, it calls in one thread with the connection's name; the event loop goes on meanwhile."""
    callers: dict[str, set[str]] = {}
    for method in ("connect", "health_check", "disconnect"):
        original = getattr(CustomTCPConnection, method)

        def noted(self: CustomTCPConnection, method: str = method, original: Any = original) -> Any:
            callers.setdefault(method, set()).add(threading.current_thread().name)
            return original(self)

        monkeypatch.setattr(CustomTCPConnection, method, noted)
    manager.register_connection_type("watched", CustomTCPConnection)
    await opened("watched", config_of(device))
    await until(lambda: "health_check" in callers)
    await manager.stop()
    assert callers == dict.fromkeys(("connect", "health_check", "disconnect"), {"connmgr[device]"})


async def test_answers_find_their_questions(device: TcpSimulator, opened: Opened) -> None:
    """Threads that ask at the same time, with health checks all the while, each get their own answer."""
    connection = await opened("custom_tcp", config_of(device), health_check_interval=0.01)

    def ask(name: str) -> list[bytes]:
        questions = [b"%s-%d" % (name.encode(), number) for number in range(200)]
        return [question for question in questions if connection.request(b"ECHO %s\n" % question) != question + b"\n"]

    assert await asyncio.gather(*(asyncio.to_thread(ask, name) for name in ("ann", "bob", "eve"))) == [[], [], []]
    assert connection.status is ConnectionStatus.CONNECTED


async def test_a_health_check_between_question_and_answer(device: TcpSimulator, opened: Opened) -> None:
    """It neither takes the answer that the application is about to read, nor leaves its own there."""
    connection = await opened("custom_tcp", config_of(device), health_check_interval=60)

    def converse() -> list[bytes]:
        answers = []
        for number in range(50):
            connection.send_data(b"ECHO %d\n" % number)
            assert connection.health_check()
            answers.append(connection.receive_data())
        return answers

    assert await asyncio.to_thread(converse) == [b"%d\n" % number for number in range(50)]


async def test_no_answer_reopens_the_link(device: TcpSimulator, opened: Opened, until: Until) -> None:
    """After an answer that did not come, the next one is never taken for it."""
    async with FaultProxy(device.host, int(device.port)) as proxy:
        connection = await opened("custom_tcp", config_of(proxy) | {"timeout": 0.2}, health_check_interval=60)
        first = connection.connected_at
        proxy.delay(0.4)
        with pytest.raises(NoAnswerError, match="no complete line within"):
            await asyncio.to_thread(connection.request, b"ECHO late\n")
        proxy.delay(0)
        await until(lambda: connection.connected_at not in (None, first))
        await asyncio.sleep(0.4)
        assert await asyncio.to_thread(connection.request, b"ECHO in time\n") == b"in time\n"
