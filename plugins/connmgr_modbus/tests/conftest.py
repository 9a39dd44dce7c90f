"""Connections that are kept alive by the real manager."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from connmgr import ConnectionManager
from connmgr_modbus import ModbusConnection

Supervise = Callable[..., Awaitable[ModbusConnection]]

QUICK = {
    "reconnect_delay_initial": 0.05,
    "reconnect_delay_multiplier": 1,
    "reconnect_delay_max": 0.05,
    "reconnect_jitter": 0,
    "reconnect_max_attempts": 0,
    "stable_after": 0,
    "dial_rate": 1000,
    "dial_burst": 1000,
    "host_dial_rate": 1000,
    "host_dial_burst": 1000,
}


@pytest.fixture
async def supervise(tmp_path: Path) -> AsyncIterator[Supervise]:
    """`await supervise(config, **settings)` is a connection named "bus"; it is connected unless `up=False`."""
    async with AsyncExitStack() as stack:

        async def start(config: Mapping[str, Any], *, up: bool = True, **settings: Any) -> ModbusConnection:
            file = tmp_path / "connections.json"
            document = {
                "settings": QUICK | settings,
                "connections": {"bus": {"type": "modbus", "config": dict(config)}},
            }
            file.write_text(json.dumps(document))
            manager = await stack.enter_async_context(ConnectionManager())
            await manager.load(file)
            connection = manager.connections["bus"]
            assert isinstance(connection, ModbusConnection)
            if up:
                await connection.wait_until_connected(5)
            return connection

        yield start


@pytest.fixture
async def dial() -> AsyncIterator[Callable[[Mapping[str, Any]], Awaitable[ModbusConnection]]]:
    """Open a connection with this "config", without a manager; it is closed after the test."""
    connections: list[ModbusConnection] = []

    async def connect(config: Mapping[str, Any]) -> ModbusConnection:
        connection = ModbusConnection("bus", config, None)
        connections.append(connection)
        await connection.connect()
        return connection

    yield connect
    for connection in connections:
        await connection.disconnect()
