"""The examples round other people's libraries, each against a real peer: lost, regained, refused, closed while in use."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import threading
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from connmgr import ConnectionManager, ConnectionStatus, NoAnswerError, RefusedError, TransientError

Until = Callable[[Callable[[], bool]], Awaitable[None]]
Opened = Callable[..., Coroutine[Any, Any, Any]]


# --- Modbus


@asynccontextmanager
async def modbus_server(port: int = 0) -> AsyncIterator[int]:
    """Ten holding registers with a 7 in each."""
    registers = [SimData(0, count=10, values=7, datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(SimDevice(id=1, simdata=registers), address=("127.0.0.1", port))
    await server.listen()
    try:
        assert isinstance(server.transport, asyncio.Server)
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves this one untyped


async def test_modbus(opened: Opened, until: Until) -> None:
    """Registers are read, a refusal leaves the link alone, and a server that restarts is found again."""
    async with modbus_server() as port:
        connection = await opened("modbus_tcp", {"host": "127.0.0.1", "port": port, "timeout": 0.5})
        since = connection.connected_at
        assert await asyncio.to_thread(connection.read_holding_registers, 2, 3) == [7, 7, 7]
        with pytest.raises(RefusedError, match="cannot read 4 registers from 500: "):
            await asyncio.to_thread(connection.read_holding_registers, 500, 4)
        with pytest.raises(ValueError, match="cannot read 126 registers: 1 to 125 at once"):
            connection.read_holding_registers(0, 126)
        assert connection.connected_at == since
    await until(lambda: connection.reconnect_attempts >= 2)
    assert connection.last_error == f"cannot connect to 127.0.0.1:{port}: refused, or no answer"
    async with modbus_server(port):
        await until(lambda: connection.status is ConnectionStatus.CONNECTED)
        assert await asyncio.to_thread(connection.read_holding_registers, 0, 1) == [7]


# --- a serial line


class Line:
    """A pty with a device at its end that answers each line with the same in capitals, and is silent about "hush"."""

    def __init__(self, path: Path) -> None:
        self._device, end = os.openpty()
        os.set_blocking(self._device, False)
        tty.setraw(self._device)
        tty.setraw(end)
        path.symlink_to(os.ttyname(end))  # the name of the pty itself is soon somebody else's
        self.port = str(path)
        os.close(end)  # else pulling the plug would go unnoticed
        self._unplugged = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        unread = b""
        while not self._unplugged.wait(0.005):
            with suppress(OSError):  # nothing was sent, or nobody has the other end open
                unread += os.read(self._device, 1000)
            *lines, unread = unread.split(b"\n")
            for line in lines:
                if line != b"hush":
                    os.write(self._device, line.upper() + b"\n")

    def unplug(self) -> None:
        if self._thread.is_alive():
            self._unplugged.set()
            self._thread.join()
            os.unlink(self.port)
            os.close(self._device)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "ttyDEVICE")
    yield line
    line.unplug()


async def test_serial_line(line: Line, opened: Opened, until: Until) -> None:
    """Lines go both ways; silence reopens the port; a line pulled out is noticed, and said so."""
    connection = await opened("serial_port", {"port": line.port, "timeout": 0.3})
    assert await asyncio.to_thread(connection.request, b"weight?\n") == b"WEIGHT?\n"
    await asyncio.to_thread(connection.send_data, b"again\n")
    assert await asyncio.to_thread(connection.receive_data) == b"AGAIN\n"
    since = connection.connected_at
    with pytest.raises(NoAnswerError, match="no complete line within 0.3 s"):
        await asyncio.to_thread(connection.request, b"hush\n")
    await until(lambda: connection.connected_at not in (None, since))
    line.unplug()
    await until(lambda: connection.reconnect_attempts >= 2)
    assert f"could not open port {line.port}" in connection.last_error


async def test_serial_line_closed_while_somebody_reads(manager: ConnectionManager, line: Line, opened: Opened) -> None:
    """A thread that waits for a line is told at once that the port is gone, in words."""
    connection = await opened("serial_port", {"port": line.port, "timeout": 5.0})
    reading = asyncio.create_task(asyncio.to_thread(connection.request, b"hush\n"))
    await asyncio.sleep(0.2)
    await manager.command("device", "disconnect")
    with pytest.raises((NoAnswerError, TransientError)):
        async with asyncio.timeout(1):
            await reading
    assert not connection.is_connected()


# --- a web service


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        authorized = self.headers.get("Authorization") == "Bearer open-sesame"
        code = 200 if authorized and self.path in ("/health", "/values", "/text") else 404 if authorized else 401
        body = b"no json" if self.path == "/text" else json.dumps({"path": self.path}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@asynccontextmanager
async def service(port: int = 0) -> AsyncIterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Service)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


async def test_web_service(opened: Opened, until: Until) -> None:
    """JSON is fetched, an endpoint that does not exist leaves the link alone, and a restart is noticed."""
    async with service() as port:
        config = {"base_url": f"http://127.0.0.1:{port}/", "api_key": "open-sesame"}
        connection = await opened("rest_api", config)
        since = connection.connected_at
        assert await asyncio.to_thread(connection.get, "values") == {"path": "/values"}
        with pytest.raises(RefusedError, match="/nothing: it answers 404"):
            await asyncio.to_thread(connection.get, "nothing")
        with pytest.raises(RefusedError, match="/text: no JSON"):
            await asyncio.to_thread(connection.get, "text")
        assert connection.connected_at == since
    await until(lambda: connection.reconnect_attempts >= 2)
    assert connection.last_error.startswith(f"cannot get http://127.0.0.1:{port}/health: ")
    async with service(port):
        await until(lambda: connection.status is ConnectionStatus.CONNECTED)


async def test_web_service_with_a_wrong_key(manager: ConnectionManager, opened: Opened, until: Until) -> None:
    """A refused key is not tried again and again: the connection is suspended, and the key is not shown."""
    async with service() as port:
        opening = asyncio.create_task(
            opened("rest_api", {"base_url": f"http://127.0.0.1:{port}", "api_key": "open-barley"})
        )
        await until(lambda: bool(manager.connections) and _status(manager) is ConnectionStatus.SUSPENDED)
        opening.cancel()
        reason = manager.describe("device")["suspended_because"]
        assert "it answers 401; is the api_key right?" in reason
        assert "open-barley" not in json.dumps(manager.explain("device"))


def _status(manager: ConnectionManager) -> ConnectionStatus:
    return manager.connections["device"].status
