"""A manager with the example plugins, and impatient settings: everything that takes seconds takes fractions of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from connmgr import ConnectionManager, ConnectionStatus

EXAMPLES = Path(__file__).parents[1]
IMPATIENT = {
    "health_check_interval": 0.1,
    "health_check_timeout": 2,
    "connection_timeout": 2,
    "reconnect_delay_initial": 0.05,
    "reconnect_delay_max": 0.2,
    "stable_after": 0.2,
    "reconnect_max_attempts": 0,
}

Until = Callable[[Callable[[], bool]], Awaitable[None]]
Opened = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture
async def manager() -> AsyncIterator[ConnectionManager]:
    async with ConnectionManager() as manager:
        await asyncio.to_thread(manager.add_plugin_folder, EXAMPLES / "plugins")
        assert not manager.registry.failures
        yield manager


@pytest.fixture
def until() -> Until:
    """Waits until something is so, 10 seconds at most."""

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    return until


@pytest.fixture
def opened(manager: ConnectionManager, until: Until, tmp_path: Path) -> Opened:
    """Opens one connection called "device" with this type and config, and waits until it is up."""

    async def opened(kind: str, config: dict[str, Any], **settings: Any) -> Any:
        path = tmp_path / "connections.json"
        entry = {"type": kind, "config": config}
        path.write_text(json.dumps({"settings": IMPATIENT | settings, "connections": {"device": entry}}))
        await manager.load(path)
        connection = manager.get_connection("device")
        assert connection is not None
        await until(lambda: connection.status is ConnectionStatus.CONNECTED)
        return connection

    return opened
