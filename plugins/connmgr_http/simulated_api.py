"""The pages of the simulated device. Apart from the simulator, because aiohttp's server is slow to import."""

import asyncio
import hmac
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from connmgr_http.simulator import HttpSimulator

STOPPING = 0.1  # seconds that requests get to end when the device is taken away
SLOWEST = 60.0
BIGGEST = 100_000_000


async def serve(simulator: "HttpSimulator") -> web.AppRunner:
    """Listen; the runner's first address is where.

    Raises:
        OSError: the port is taken.
    """
    app = web.Application(middlewares=[_guard(simulator)])
    pages = _Pages(simulator)
    app.router.add_get("/health", pages.health)
    app.router.add_get("/api/values", pages.values)
    app.router.add_route("*", "/api/echo", pages.echo)
    app.router.add_get("/slow", pages.slow)
    app.router.add_get("/big", pages.big)
    app.router.add_route("*", "/status/{code:[2-5][0-9][0-9]}", pages.status)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOPPING, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, simulator.host, int(simulator.port), backlog=1024).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _guard(simulator: "HttpSimulator") -> Any:  # noqa: ANN401 - aiohttp's middleware type is not public
    @web.middleware
    async def check_key(request: web.Request, handler: Handler) -> web.StreamResponse:
        simulator.requests += 1
        given = request.headers.get("X-API-Key", "")
        if simulator.api_key is not None and not hmac.compare_digest(given.encode(), simulator.api_key.encode()):
            return web.json_response({"error": "wrong key"}, status=401)
        return await handler(request)

    return check_key


class _Pages:
    def __init__(self, simulator: "HttpSimulator") -> None:
        self._simulator = simulator
        self._counter = 0

    async def health(self, _: web.Request) -> web.Response:
        simulator = self._simulator
        headers = {} if simulator.retry_after is None else {"Retry-After": simulator.retry_after}
        return web.json_response({"status": "ok"}, status=simulator.health_status, headers=headers)

    async def values(self, _: web.Request) -> web.Response:
        self._counter += 1
        now = asyncio.get_running_loop().time()
        temperature = round(21.5 + 2 * math.sin(now / 10), 2)
        return web.json_response({"counter": self._counter, "temperature": temperature, "running": True})

    async def echo(self, request: web.Request) -> web.Response:
        try:
            value = await request.json() if request.can_read_body else None
        except ValueError:
            return web.json_response({"error": "no JSON"}, status=400)
        query = [[name, value] for name, value in request.query.items()]
        return web.json_response({"method": request.method, "json": value, "query": query})

    async def slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(_number(request, "seconds", SLOWEST))
        return web.json_response({"status": "late"})

    async def big(self, request: web.Request) -> web.StreamResponse:
        left = int(_number(request, "bytes", BIGGEST))
        response = web.StreamResponse()
        await response.prepare(request)
        while left > 0:
            piece = b"x" * min(left, 65_536)
            await response.write(piece)
            left -= len(piece)
        return response

    async def status(self, request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["code"]), headers={"Location": "/health"})


def _number(request: web.Request, name: str, most: float) -> float:
    try:
        value = float(request.query.get(name, "1"))
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise web.HTTPBadRequest(text=f"{name} is a number from 0 to {most:g}")
    return value
