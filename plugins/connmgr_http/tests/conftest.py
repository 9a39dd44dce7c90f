"""Connections that are closed after the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from connmgr_http import HttpConnection


class Api(HttpConnection):
    """Remembers what it would have told its supervisor."""

    losses: tuple[str, ...] = ()

    def connection_lost(self, reason: str) -> None:
        self.losses += (reason,)
        super().connection_lost(reason)


@pytest.fixture
async def dial() -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[Api]]]:
    """Open a connection with this "config"; it is closed after the test."""
    opened: list[Api] = []

    async def open_api(config: dict[str, Any]) -> Api:
        api = Api("api", config, None)
        opened.append(api)
        await api.connect()
        return api

    yield open_api
    for api in opened:
        await api.disconnect()
