"""Requests, and what becomes of every kind of answer."""

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from connmgr import NoAnswerError, NotConnectedError, RefusedError, TransientError
from connmgr.testing import FaultProxy
from connmgr_http import HttpStatusError
from connmgr_http.simulator import HttpSimulator
from connmgr_http.tests.conftest import Api
from connmgr_http.tests.raw_server import RawServer, page

Dial = Callable[[dict[str, Any]], Awaitable[Api]]


async def test_values(dial: Dial) -> None:
    """`get` returns the JSON of the answer, and the traffic is counted."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial(simulator.config)
        first, second = await api.get("api/values"), await api.get("/api/values")
        assert second["counter"] == first["counter"] + 1
        assert (api.stats["packets_sent"], api.stats["packets_received"], api.stats["errors"]) == (3, 3, 0)
        assert api.stats["bytes_received"] > 50


async def test_every_method(dial: Dial) -> None:
    """Each method sends its JSON and its query."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial(simulator.config)
        for method in ("post", "put", "patch"):
            answer = await getattr(api, method)("api/echo", {"on": True}, unit="\u00b0C & more")
            assert answer == {"method": method.upper(), "json": {"on": True}, "query": [["unit", "\u00b0C & more"]]}
        answer = await api.delete("api/echo", id=7, hard=False, note=None, tag=["a", 1.5], endpoint="x")
        query = [["id", "7"], ["hard", "false"], ["tag", "a"], ["tag", "1.5"], ["endpoint", "x"]]
        assert answer == {"method": "DELETE", "json": None, "query": query}


async def test_text_and_nothing(dial: Dial) -> None:
    """`get_text` takes any text in its character set; an empty answer is None."""
    async with RawServer(page("21,5 \u00b0C".encode("latin-1"), Content_Type="text/plain; charset=latin-1")) as server:
        api = await dial(server.config())
        assert await api.get_text("temperature") == "21,5 \u00b0C"
        server.answer = page(b"")
        assert await api.post("reset") is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
async def test_the_device_refuses(dial: Dial, status: int) -> None:
    """The error says what was asked and the status; the link stays, and the answer proves no health."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial(simulator.config)
        received = api.stats["packets_received"]
        with pytest.raises(HttpStatusError) as refused:
            await api.put(f"status/{status}?token=hunter2", {"password": "hunter2"})
        assert str(refused.value) == f"cannot PUT {simulator.endpoint}/status/{status}: answered {status}"
        assert refused.value.status == status
        assert api.is_connected()
        assert not api.losses
        assert (api.stats["packets_received"], api.stats["errors"]) == (received, 1)


async def test_redirects_are_not_followed(dial: Dial) -> None:
    """Neither to another host nor to the same one: the key goes where it was meant to go."""
    async with HttpSimulator(port=0, api_key="hunter2") as simulator:
        api = await dial(simulator.config)
        before = simulator.requests
        with pytest.raises(HttpStatusError, match="answered 302; redirects are not followed"):
            await api.get("status/302")
        assert simulator.requests == before + 1


@pytest.mark.parametrize("announced", [True, False])
async def test_a_long_answer_is_cut_off(dial: Dial, announced: bool) -> None:
    """With or without Content-Length, not more than the limit is kept; the link stays."""
    async with HttpSimulator(port=0) as simulator, RawServer(page(b"x" * 100_001)) as server:
        config = server.config() if announced else simulator.config
        api = await dial({**config, "max_response_bytes": 100_000})
        with pytest.raises(RefusedError, match=r"longer than max_response_bytes \(100000\)"):
            await api.get_text("big", bytes=100_001)
        if not announced:
            assert len(await api.get_text("big", bytes=100_000)) == 100_000
            assert await api.get("api/values")


@pytest.mark.parametrize("body", [b"<html>", b"{", b"\xff\xfe\xfa", b"[" * 200_000, b"9" * 5000])
async def test_no_json(dial: Dial, body: bytes) -> None:
    """What cannot be read as JSON is refused without being repeated."""
    async with RawServer(page(body)) as server:
        api = await dial(server.config())
        with pytest.raises(RefusedError, match=r"cannot GET .*/page: the answer is no JSON \(\d+ bytes\)"):
            await api.get("page")
        assert await api.health_check() is True


@pytest.mark.parametrize("charset", ["utf-8", "klingon"])
async def test_no_text(dial: Dial, charset: str) -> None:
    """Bytes that are no text in the announced character set are refused."""
    async with RawServer(page(b"\xff\xff", Content_Type=f"text/plain; charset={charset}")) as server:
        api = await dial(server.config())
        with pytest.raises(RefusedError, match="no text in the character set"):
            await api.get_text("page")


async def test_a_compressed_answer(dial: Dial) -> None:
    """It is refused, because its length says nothing about what it becomes."""
    bomb = gzip.compress(bytes(50_000_000))
    async with RawServer(page(bomb, Content_Encoding="gzip")) as server:
        api = await dial(server.config())
        with pytest.raises(RefusedError, match="compressed"):
            await api.get("bomb")
        assert b"Accept-Encoding: identity" in server.requests[-1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"\x03\x00\x00\x16 no HTTP at all\r\n\r\n", "the answer is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "the answer is no HTTP"),
        (b"", "the device closed the connection instead of answering"),
    ],
)
async def test_broken_answers(dial: Dial, answer: bytes, reason: str) -> None:
    """They are transient and cost their own socket only."""
    async with RawServer(answer, closes=True) as server:
        api = await dial(server.config())
        with pytest.raises(TransientError, match=f"cannot GET .*/page: {reason}$"):
            await api.get("page")
        assert await api.health_check() is True
        assert not api.losses


@pytest.mark.parametrize("by_reset", [True, False])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
async def test_nothing_is_done_twice(dial: Dial, method: str, by_reset: bool) -> None:
    """Wherever the line is cut within the answer, the request fails and the device has seen it once."""
    async with HttpSimulator(port=0) as simulator, FaultProxy("127.0.0.1", int(simulator.port)) as proxy:
        api = await dial({**simulator.config, "base_url": f"http://127.0.0.1:{proxy.port}"})
        for offset in (0, 1, 150, 190):
            assert await api.health_check() is True
            before = simulator.requests
            proxy.cut_after(offset, by_reset=by_reset)
            with pytest.raises(TransientError, match=rf"cannot {method.upper()} .*: the "):
                await getattr(api, method)("api/echo")
            proxy.heal()
            assert simulator.requests == before + 1


async def test_a_get_is_asked_once_more(dial: Dial) -> None:
    """When its socket closes before the answer's head is complete; after that the answer has broken off."""
    async with HttpSimulator(port=0) as simulator, FaultProxy("127.0.0.1", int(simulator.port)) as proxy:
        api = await dial({**simulator.config, "base_url": f"http://127.0.0.1:{proxy.port}"})
        proxy.cut_after(0)
        assert await api.get("api/values")
        proxy.heal()
        proxy.cut_after(200)
        with pytest.raises(TransientError, match="the answer broke off"):
            await api.get("api/values")


async def test_a_slow_answer(dial: Dial) -> None:
    """It is given up at `timeout`, counted from the start; the link stays and others are not held up."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial({**simulator.config, "timeout": 0.3})
        slow = asyncio.create_task(api.get("slow", seconds=5))
        assert await api.get("api/values")
        began = time.monotonic()
        with pytest.raises(NoAnswerError, match=r"cannot GET .*/slow: no complete answer within 0.3 s"):
            await slow
        assert time.monotonic() - began < 0.5
        assert await api.health_check() is True


async def test_a_trickle(dial: Dial) -> None:
    """The deadline is for the whole answer, not for each byte of it."""
    async with HttpSimulator(port=0) as simulator, FaultProxy("127.0.0.1", int(simulator.port)) as proxy:
        api = await dial({**simulator.config, "base_url": f"http://127.0.0.1:{proxy.port}", "timeout": 0.3})
        proxy.trickle(50)
        with pytest.raises(NoAnswerError):
            await api.get("api/values")


async def test_too_many_at_once(dial: Dial) -> None:
    """More requests than `max_connections` wait; the health check does not wait with them."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial({**simulator.config, "max_connections": 2})
        slow = [asyncio.create_task(api.get("slow", seconds=0.3)) for _ in range(2)]
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(api.get("api/values"))
        assert await api.health_check() is True
        assert not waiting.done()
        assert not any(each.done() for each in slow)
        await asyncio.gather(waiting, *slow)
        answers = await asyncio.gather(*(api.post("api/echo", n) for n in range(50)))
        assert [answer["json"] for answer in answers] == list(range(50))


async def test_too_many_for_too_long(dial: Dial) -> None:
    """Who waits for the others longer than `timeout` learns that nothing was sent."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial({**simulator.config, "max_connections": 1, "timeout": 0.1})
        async with api._slots:
            with pytest.raises(TransientError, match=r"cannot GET .*/api/values: 1 other requests take too long"):
                await api.get("api/values")
        assert await api.get("api/values")


async def test_a_cancelled_request_costs_nobody_else(dial: Dial) -> None:
    """Its late answer goes with its socket."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial({**simulator.config, "max_connections": 1})
        for _ in range(3):
            asking = asyncio.create_task(api.get("slow", seconds=0.05))
            await asyncio.sleep(0.02)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert "counter" in await api.get("api/values")


async def test_nobody_listens_any_more(dial: Dial) -> None:
    """A request to a device that is gone tells the loss, without waiting for the next health check."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial(simulator.config)
        await simulator.stop()
        with pytest.raises(TransientError, match=r"cannot GET http://127.0.0.1:\d+/api/values: "):
            await api.get("api/values")
        if not api.losses:  # the first one may have met a socket that was just being closed
            with pytest.raises(TransientError):
                await api.get("api/values")
        assert len(api.losses) == 1


async def test_disconnect_ends_requests(dial: Dial) -> None:
    """A request under way says that its connection was closed; the next one that it is not connected."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial(simulator.config)
        slow = asyncio.create_task(api.get("slow", seconds=3))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert await api.disconnect() is True
        with pytest.raises(NoAnswerError, match="closed meanwhile"):
            await slow
        assert time.monotonic() - began < 1
        assert not api.losses
        with pytest.raises(NotConnectedError, match=f"cannot use {simulator.endpoint}: it is not connected"):
            await api.get("api/values")
        assert await api.disconnect() is True


async def test_json_that_cannot_be_sent(dial: Dial) -> None:
    """It is refused before anything is sent."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial(simulator.config)
        before = simulator.requests
        for value, error in ((float("nan"), ValueError), (object(), TypeError)):
            with pytest.raises(error):
                await api.post("api/echo", value)
        assert simulator.requests == before


async def test_cookies_are_not_kept(dial: Dial) -> None:
    """Every request stands for itself."""
    async with RawServer(page(b"{}", Set_Cookie="session=1; Path=/")) as server:
        # By name, because cookies of bare addresses are not kept anyway.
        api = await dial(server.config(base_url=f"http://localhost:{server.port}"))
        await api.get("login")
        await api.get("values")
        assert b"ookie" not in server.requests[-1]
