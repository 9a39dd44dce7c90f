"""A TCP device for tests that says exactly what it is told to say."""

import asyncio
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast


class Device:
    """Listens on a free port, remembers what it is told, and answers each piece with `answer(piece)`."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda _: b"") -> None:
        self.answer = answer
        self.received = bytearray()
        self.clients: list[asyncio.Transport] = []
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Talk(self), "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.close()
        for client in self.clients:
            client.abort()
        await asyncio.sleep(0)

    def config(self, **more: Any) -> dict[str, Any]:
        """The "config" object of a connection to it."""
        return {"host": "127.0.0.1", "port": self.port, "timeout": 1.0, **more}

    def say(self, data: bytes) -> None:
        """Send something unasked; on loopback it has arrived at the other socket when this returns."""
        self.clients[-1].write(data)

    def hang_up(self) -> bytes:
        """Close the last client's line properly; usable as an answer."""
        self.clients[-1].close()
        return b""

    def reset(self) -> None:
        """Break the last client's line by RST."""
        sock = self.clients[-1].get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.clients[-1].abort()

    async def abandoned(self) -> None:
        """Wait until a client has gone."""
        async with asyncio.timeout(2):
            await self.left.wait()

    async def accepted(self) -> None:
        """Wait until there is a client."""
        async with asyncio.timeout(2):
            while not self.clients:
                self.arrived.clear()
                await self.arrived.wait()

    async def heard(self, data: bytes) -> None:
        """Wait until `data` has been received."""
        async with asyncio.timeout(2):
            while data not in self.received:
                self.arrived.clear()
                await self.arrived.wait()


class _Talk(asyncio.Protocol):
    def __init__(self, device: Device) -> None:
        self._device = device

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._device.clients.append(self._transport)
        self._device.arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._device.left.set()

    def data_received(self, data: bytes) -> None:
        self._device.received += data
        self._device.arrived.set()
        if answer := self._device.answer(data):
            self._transport.write(answer)
