"""The API's unix socket: one daemon owns it, a dead daemon's leftover is replaced, a live one's is not."""

import asyncio
import errno
import fcntl
import logging
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from aiohttp import web

from connmgr.api.control import Control
from connmgr.api.problems import Handler
from connmgr.api.routes import make_app
from connmgr.errors import describe

RELEASE_LIMIT = 5.0  # seconds for requests that are still being answered
# aiohttp tells a traceback of each request that is no HTTP: whoever may open the socket could fill the log.
# What goes wrong in a handler of ours, `problems` tells.
_UNHEARD = logging.Logger("connmgr.api.unheard", logging.CRITICAL)  # noqa: LOG001 - on purpose not one of the tree
CONNECTIONS = 128  # clients at once: they take their descriptors from the same number as the devices
LIFETIME = 60.0  # seconds of a client's connection, and to the end of its request: half a header must not hold it
MODE = 0o660  # the owner and the group of the daemon may command it


class SocketUnavailableError(Exception):
    """The socket cannot be had: another daemon has it, or the folder is not ours to write to."""


class ApiServer:
    """Serves the control API on a unix socket, between `async with` and its end."""

    def __init__(self, control: Control, socket: Path) -> None:
        self.socket = socket
        self._lock: int | None = None
        self._is_ours = False
        self._listener: asyncio.Server | None = None
        self._asking: set[web.RequestHandler] = set()
        app = make_app(control)
        app.middlewares.append(self._note)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_UNHEARD,
            handle_signals=False,
            handler_cancellation=True,  # else a long poll goes on after its client has left
            lingering_time=0.0,  # nobody is sent a body that deserves to be read to its end
            keepalive_timeout=30.0,
            shutdown_timeout=1.0,
        )

    async def __aenter__(self) -> Self:
        try:
            self._take()
            await self._runner.setup()
            self._listener = await asyncio.get_running_loop().create_unix_server(self._accept, str(self.socket))
            self._is_ours = True
            self.socket.chmod(MODE)
        except OSError as error:
            await self._release()
            raise SocketUnavailableError(
                f"cannot listen on {self.socket}: {error.strerror or describe(error)};"
                " choose another --socket, in a folder that exists and is writable for this user"
            ) from error
        except SocketUnavailableError:
            await self._release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._release()

    def _accept(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        if server is None or len(server.connections) >= CONNECTIONS:
            return _Refusal()
        handler = server()
        asyncio.get_running_loop().call_later(LIFETIME, self._end, handler)
        return handler

    def _end(self, handler: web.RequestHandler) -> None:
        if handler in self._asking:
            handler.close()  # after its answer
        else:
            handler.force_close()

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._asking.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._asking.discard(request.protocol)

    def _take(self) -> None:
        # The lock, unlike the socket's existence, ends with the process that holds it.
        lock = os.open(f"{self.socket}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise SocketUnavailableError(
                    f"cannot listen on {self.socket}: another connmgr has it; stop that one, or choose another --socket"
                ) from None
            raise
        self._lock = lock
        if self.socket.exists() or self.socket.is_symlink():
            if not stat.S_ISSOCK(self.socket.lstat().st_mode):
                raise SocketUnavailableError(
                    f"cannot listen on {self.socket}: something else than a socket is there; choose another --socket"
                )
            self.socket.unlink()

    async def _release(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_LIMIT):
                await self._runner.cleanup()
                for _ in range(3):  # asyncio closes the clients' sockets in the loop's next rounds
                    await asyncio.sleep(0)
        if self._is_ours:
            self.socket.unlink(missing_ok=True)
            self._is_ours = False
        if self._lock is not None:
            os.close(self._lock)  # the lock file stays: unlinking it would let two daemons hold two locks
            self._lock = None


class _Refusal(asyncio.Protocol):
    """What a client gets that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()
