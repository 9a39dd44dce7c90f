"""Plugins in the older style: they answer False, assign their status themselves, and swallow every exception."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from connmgr import BaseConnection, ConnectionManager, ConnectionStatus
from connmgr_tcp.simulator import TcpSimulator

Until = Callable[[Callable[[], bool]], Awaitable[None]]
Opened = Callable[..., Coroutine[Any, Any, Any]]


class Assigning(BaseConnection):
    """Has no lock, raises nothing, says everything through its attributes."""

    def __init__(self, connection_id: str, config: dict[str, Any], app_context: Any) -> None:
        super().__init__(connection_id, config, app_context)
        self.sock: socket.socket | None = None

    def connect(self) -> bool:
        try:
            self.sock = socket.create_connection((self.config["host"], self.config["port"]), timeout=1)
        except Exception as error:
            self.status = ConnectionStatus.ERROR
            self.last_error = f"no way in: {error}"
            self.stats["errors"] += 1
            return False
        self.status = ConnectionStatus.CONNECTED
        self.connected_at = time.time()
        self.reconnect_attempts = 0
        return True

    def disconnect(self) -> bool:
        if self.sock:
            self.sock.close()
            self.sock = None
        self.status = ConnectionStatus.DISCONNECTED
        return True

    def is_connected(self) -> bool:
        return self.sock is not None and self.status == ConnectionStatus.CONNECTED

    def health_check(self) -> bool:
        if not self.is_connected():
            return False
        assert self.sock
        with contextlib.suppress(Exception):
            self.sock.sendall(b"PING\n")
            return b"PONG" in self.sock.recv(1024)
        return False


def config_of(device: TcpSimulator) -> dict[str, Any]:
    return {"host": device.host, "port": device.port}


async def test_assignments_are_welcome_and_never_believed(
    manager: ConnectionManager, opened: Opened, until: Until
) -> None:
    """Such a plugin is supervised like any other: lost, counted, regained, with its own words as the reason."""
    manager.register_connection_type("assigning", Assigning)
    async with TcpSimulator(port=0) as device:
        connection = await opened("assigning", config_of(device))
        await device.stop()
        await until(lambda: connection.reconnect_attempts >= 2)
        assert connection.status is ConnectionStatus.ERROR
        assert connection.last_error.startswith("no way in: ")
        assert connection.stats["errors"] >= 1
        assert connection.connected_at is None
        await device.start()
        await until(lambda: connection.status is ConnectionStatus.CONNECTED)
        assert connection.is_connected()
        assert await asyncio.to_thread(connection.health_check)
        connection.status = ConnectionStatus.SUSPENDED  # from outside, too, an assignment is only an opinion
        assert connection.status is ConnectionStatus.CONNECTED
        assert connection.get_status()["status"] == "connected"
