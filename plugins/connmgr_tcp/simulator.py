"""A simulated TCP device that speaks lines."""

import asyncio
import math
from typing import Any, ClassVar, cast

from connmgr.testing import Simulator

LONGEST_LINE = 65_536


class TcpSimulator(Simulator):
    """Answers each line with a line; any number of clients.

    PING gives PONG, ID a name, TEMP a temperature that changes, ECHO x gives x, anything else ERR.
    """

    default_port: ClassVar[int] = 5000

    def __init__(self, host: str = "127.0.0.1", port: int | str | None = None) -> None:
        super().__init__(host, port)
        self._server: asyncio.Server | None = None
        self.clients: set[asyncio.Transport] = set()

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._server is not None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = server = await loop.create_server(lambda: _Client(self), self.host, int(self.port), backlog=1024)
        self.port = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        loop = asyncio.get_running_loop()
        for listener in server.sockets:
            loop.remove_reader(listener)
        await asyncio.sleep(
            0
        )  # asyncio cannot cope with clients that it has accepted, but not taken over, when it closes
        server.close()
        for client in list(self.clients):
            client.abort()
        for _ in range(3):
            await asyncio.sleep(0)  # their sockets are closed in the loop's next rounds
        await server.wait_closed()

    @property
    def config(self) -> dict[str, Any]:
        check = {"send": "PING\n", "expect": "PONG"}
        return {"host": self.host, "port": int(self.port), "timeout": 5.0, "health_check": check}

    @property
    def endpoint(self) -> str:
        return f"{self.host}:{self.port}"


class _Client(asyncio.Protocol):
    def __init__(self, simulator: TcpSimulator) -> None:
        self._simulator = simulator
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        self._simulator.clients.add(self._transport)
        if not self._simulator.is_running:  # it was stopped while this client was being accepted
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._simulator.clients.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\n")
        self._transport.write(b"".join(_answer(line.strip()) + b"\n" for line in lines))
        if len(self._unread) > LONGEST_LINE:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._transport.pause_reading()  # a client that asks and never reads must not fill our memory

    def resume_writing(self) -> None:
        self._transport.resume_reading()


def _answer(line: bytes) -> bytes:
    command, _, rest = line.partition(b" ")
    match command.upper():
        case b"PING":
            return b"PONG"
        case b"ID":
            return b"connmgr simulated TCP device"
        case b"TEMP":
            return b"%.1f" % (21.5 + 2 * math.sin(asyncio.get_running_loop().time() / 10))
        case b"ECHO":
            return rest
        case _:
            return b"ERR unknown command"
