"""Errors as problem details (RFC 9457): a stable `type`, a sentence for people, never a traceback."""

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from connmgr.config import ConfigProblems
from connmgr.errors import ConnmgrError
from connmgr.logs import get_logger
from connmgr.manager import NoSuchConnectionError
from connmgr.secrets import redactor

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = get_logger("connmgr.api")


def problem(status: int, kind: str, title: str, detail: str, **more: Any) -> web.Response:
    """An error answer. `kind` becomes the type `urn:connmgr:problem:<kind>`, which programs may hold on to."""
    body = {"type": f"urn:connmgr:problem:{kind}", "title": title, "status": status, "detail": detail} | more
    return web.Response(status=status, text=json.dumps(body) + "\n", content_type="application/problem+json")


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into problem details."""
    try:
        return await handler(request)
    except NoSuchConnectionError as error:
        return problem(404, "no-such-connection", "There is no such connection", str(error))
    except ConfigProblems as error:
        return config_problem(error)
    except ConnmgrError as error:
        return problem(409, "refused", "That is not possible now", redactor.scrub(str(error)))
    except web.HTTPException as error:
        return problem(error.status, error.reason.lower().replace(" ", "-"), error.reason, error.text or error.reason)
    except Exception:
        reference = secrets.token_hex(4)
        log.exception("a request failed by a bug", reference=reference, path=request.path)
        return problem(
            500, "internal", "A bug in connmgr", f"see the daemon's log for {reference}", reference=reference
        )


def config_problem(error: ConfigProblems) -> web.Response:
    """Everything that is wrong with a configuration, as a list besides the text."""
    errors = [
        {
            "file": found.place.file,
            "line": found.place.line,
            "column": found.place.column,
            "path": found.path,
            "message": found.message,
            "remedy": found.remedy,
        }
        for found in error.problems
    ]
    return problem(422, "bad-configuration", "The configuration is invalid; nothing changed", str(error), errors=errors)
