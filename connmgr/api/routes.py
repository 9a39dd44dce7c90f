"""The routes of version 1."""

import asyncio
import json
import math
from dataclasses import asdict
from typing import Any

from aiohttp import web

from connmgr.api.control import Control
from connmgr.api.problems import answer_problems
from connmgr.commands import Command

CONTROL = web.AppKey("control", Control)
LONGEST_WAIT = 30.0  # seconds of one long poll
MOST_EVENTS = 1_000  # events in one answer
MAX_BODY = 64 * 1024


def make_app(control: Control) -> web.Application:
    """The control API as an aiohttp application."""
    app = web.Application(middlewares=[answer_problems], client_max_size=MAX_BODY)
    app[CONTROL] = control
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/api/v1/status", status),
            web.get("/api/v1/connections", connections),
            web.get("/api/v1/connections/{id}", connection),
            web.post("/api/v1/connections/{id}/{command}", command),
            web.get("/api/v1/events", events),
            web.post("/api/v1/reload", reload),
        ]
    )
    return app


async def healthz(request: web.Request) -> web.Response:
    """200 while every owner is at work."""
    dead = request.app[CONTROL].manager.dead_owners()
    return _json({"status": "failing" if dead else "ok", "dead_owners": dead}, 503 if dead else 200)


async def readyz(request: web.Request) -> web.Response:
    """200 once start-up is over."""
    ready = request.app[CONTROL].ready
    return _json({"ready": ready}, 200 if ready else 503)


async def status(request: web.Request) -> web.Response:
    """The daemon in figures."""
    return _json(request.app[CONTROL].figures())


async def connections(request: web.Request) -> web.Response:
    """Every connection."""
    return _json(request.app[CONTROL].manager.snapshot())


async def connection(request: web.Request) -> web.Response:
    """One connection with its newest events and its outlook."""
    return _json(request.app[CONTROL].manager.explain(request.match_info["id"]))


async def command(request: web.Request) -> web.Response:
    """`connect`, `disconnect`, `suspend`, `resume` or `reconnect` one connection."""
    try:
        wanted = Command(request.match_info["command"])
    except ValueError:
        known = ", ".join(command.value for command in Command)
        raise web.HTTPNotFound(text=f"there is no such command; there are {known}") from None
    return _json(await request.app[CONTROL].manager.command(request.match_info["id"], wanted))


async def events(request: web.Request) -> web.Response:
    """Events with a number above `after`, at most 1,000; with `wait` the answer is held until there is one.

    `connection` restricts them to one id. The answer's `seq` is the `after` of the next question; another `boot_id`
    than before means that the daemon was restarted and counts anew.
    """
    log = request.app[CONTROL].manager.events
    after, wait = int(_number(request, "after", 0)), min(_number(request, "wait", 0), LONGEST_WAIT)
    if request.query.get("boot_id", log.boot_id) != log.boot_id:
        after = 0
    found = list(await log.wait(after, wait) if wait else log.after(after))[:MOST_EVENTS]
    seq = found[-1].seq if found else min(max(after, 0), log.seq)
    wanted = request.query.get("connection")
    listed = [event.as_json() for event in found if wanted is None or event.connection_id == wanted]
    return _json({"boot_id": log.boot_id, "seq": seq, "events": listed})


async def reload(request: web.Request) -> web.Response:
    """Read the configuration again; with `dry_run=1` only tell what would change."""
    dry_run = request.query.get("dry_run", "0") not in ("0", "false")
    changes = await asyncio.shield(request.app[CONTROL].reload(dry_run))
    return _json({"dry_run": dry_run, "changes": asdict(changes)})


def _number(request: web.Request, name: str, default: float) -> float:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < 2**53:
        raise web.HTTPBadRequest(text=f"{name} has to be a number of at least 0, not {text[:20]!r}")
    return number


def _json(body: Any, status: int = 200) -> web.Response:  # noqa: ANN401 - any JSON value
    # In ASCII: half a surrogate pair, which a device may have sent, cannot be written as UTF-8.
    return web.json_response(body, status=status, dumps=lambda value: json.dumps(value) + "\n")
