"""A simulated PLC, and connections to it that are kept alive by the real manager."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from connmgr import ConnectionManager
from connmgr_s7 import S7Connection
from connmgr_s7.simulator import S7Simulator

Supervise = Callable[..., Awaitable[S7Connection]]

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
async def plc() -> AsyncIterator[S7Simulator]:
    async with S7Simulator(port=0) as simulator:
        yield simulator


@pytest.fixture
async def supervise(tmp_path: Path) -> AsyncIterator[Supervise]:
    """`await supervise(config, **settings)` is a connection named "plc"; it is connected unless `up=False`."""
    async with AsyncExitStack() as stack:

        async def start(config: Mapping[str, Any], *, up: bool = True, **settings: Any) -> S7Connection:
            file = tmp_path / "connections.json"
            document = {"settings": QUICK | settings, "connections": {"plc": {"type": "s7", "config": dict(config)}}}
            file.write_text(json.dumps(document))
            manager = await stack.enter_async_context(ConnectionManager())
            await manager.load(file)
            connection = manager.connections["plc"]
            assert isinstance(connection, S7Connection)
            if up:
                await connection.wait_until_connected(5)
            return connection

        yield start
