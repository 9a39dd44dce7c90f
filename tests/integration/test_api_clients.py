"""What clients of the control socket may hold: so many connections, and none for ever."""

import asyncio
from pathlib import Path

import pytest

from connmgr.api import server
from tests.integration.test_api import serving


async def test_half_a_header_holds_a_connection_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends nothing more is closed; who asks meanwhile is answered, also by a long poll."""
    monkeypatch.setattr(server, "LIFETIME", 0.3)
    async with serving(tmp_path, {}) as api:
        reader, writer = await asyncio.open_unix_connection(str(api.path))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        poll = asyncio.create_task(api.get("/api/v1/events?wait=1"))
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        assert (await poll)["events"] == []
        writer.close()
        await writer.wait_closed()


async def test_one_client_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed at once; when others have gone there is room again."""
    monkeypatch.setattr(server, "CONNECTIONS", 3)
    async with serving(tmp_path, {}) as api:
        held = [await asyncio.open_unix_connection(str(api.path)) for _ in range(3)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_unix_connection(str(api.path))
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        for _, each in [*held, (reader, writer)]:
            each.close()
            await each.wait_closed()
        await asyncio.sleep(0.05)
        assert (await api.get("/healthz"))["status"] == "ok"
