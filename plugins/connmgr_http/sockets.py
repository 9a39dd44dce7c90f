"""Sockets on which nothing is taken for an answer but what comes after a question. Importing this loads aiohttp.

aiohttp reads a socket that waits for its next question, and queues whatever answers come there: without a bound, and
the next question is answered by the first of them.
"""

import asyncio
import functools
from typing import Any

import aiohappyeyeballs
import aiohttp
from aiohappyeyeballs import AddrInfoType
from aiohttp.client_proto import ResponseHandler

PIECE = 8_192  # bytes looked at before looking whether that was enough: a device may pack an answer into 20 bytes
MOST_HEADS = 32  # of one answer: "100 Continue" and the like may precede it


class Connector(aiohttp.TCPConnector):
    """Opens such sockets."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = functools.partial(Socket, loop=self._loop)  # type: ignore[assignment]  # a ResponseHandler, too

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: list[AddrInfoType],
        req: aiohttp.ClientRequest,
        timeout: aiohttp.ClientTimeout,
        client_error: type[Exception] = aiohttp.ClientConnectorError,
        **kwargs: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Dial all addresses of a name, and hand the first socket that connects to the loop.

        As aiohttp does, but so that one object owns the file descriptor. When a TLS handshake fails early, uvloop
        closes it and Python's socket once more, which by then can be another connection's: libuv aborts the process.
        """
        try:
            sock = await aiohappyeyeballs.start_connection(addr_infos, happy_eyeballs_delay=0.25, loop=self._loop)
        except OSError as error:
            raise client_error(req.connection_key, error) from error
        try:
            return await self._wrap_existing_connection(
                *args, req=req, timeout=timeout, client_error=client_error, sock=sock, **kwargs
            )
        finally:
            if type(self._loop).__module__.startswith("uvloop"):
                sock.detach()


class Socket(ResponseHandler):
    """One socket. What comes unasked closes it."""

    _heads = 0  # that came since the last question
    _is_asked = False

    def set_response_params(self, **params: Any) -> None:
        """A question is about to be sent."""
        self._heads, self._is_asked = 0, True
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:  # noqa: ANN401 - aiohttp's own
        """The head of an answer came."""
        self._heads += 1
        code = data[0].code
        self._is_asked = 100 <= code <= 199 and code != 101
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        for start in range(0, len(data) or 1, PIECE):  # none at all: the parser is to go on with what it has
            if self.transport is None or self.transport.is_closing():
                return
            if self._heads > MOST_HEADS:
                self.set_exception(aiohttp.ClientConnectionError("an answer begins again and again"))
                self.transport.abort()
            elif self._has_answered():
                self.transport.abort()
            else:
                super().data_received(data[start : start + PIECE])

    def _has_answered(self) -> bool:
        """Whether the last question has its complete answer: what comes now, nobody asked for."""
        is_complete = self._payload is None or self._payload.is_eof()
        return self._heads > 0 and not self._is_asked and is_complete
