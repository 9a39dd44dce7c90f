"""A server for tests that answers each request with bytes of our choice, HTTP or not."""

import asyncio
import ssl
from types import TracebackType
from typing import Any, Self

HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def page(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A complete answer."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


class RawServer:
    """Healthy at /health; everything else is answered with `answer`, and then closed if `closes`."""

    def __init__(self, answer: bytes = HEALTHY, *, closes: bool = False, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.health = HEALTHY
        self.closes = closes
        self.requests: list[bytes] = []
        self._tls = tls
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)

    def config(self, **more: Any) -> dict[str, Any]:
        """The "config" object of a connection to it."""
        scheme = "https" if self._tls else "http"
        return {"base_url": f"{scheme}://127.0.0.1:{self.port}", "timeout": 1.0, **more}

    def push(self, data: bytes) -> None:
        """Send to everybody, asked or not."""
        for writer in self._writers:
            writer.write(data)

    def is_cut_off(self) -> bool:
        """Whether somebody who was connected is not any more."""
        return any(writer.transport.is_closing() for writer in self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                is_health = head.startswith(b"GET /health ")
                writer.write(self.health if is_health else self.answer)
                if self.closes and not is_health:
                    writer.close()
        except (OSError, EOFError):
            writer.close()
