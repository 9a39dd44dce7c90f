"""Connections that are closed after the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property
from typing import Any

import pytest

from connmgr_tcp import TcpConnection


class Line(TcpConnection):
    """Remembers what it would have told its supervisor."""

    losses: tuple[str, ...] = ()

    @cached_property
    def is_lost(self) -> asyncio.Event:
        return asyncio.Event()

    def connection_lost(self, reason: str) -> None:
        self.losses += (reason,)
        self.is_lost.set()
        super().connection_lost(reason)


@pytest.fixture
async def dial() -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[Line]]]:
    """Open a connection with this "config"; it is closed after the test."""
    lines: list[Line] = []

    async def open_line(config: dict[str, Any]) -> Line:
        line = Line("line", config, None)
        lines.append(line)
        await line.connect()
        return line

    yield open_line
    for line in lines:
        await line.disconnect()
