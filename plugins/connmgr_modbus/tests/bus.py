"""Buses for tests: a pty and a TCP gateway with hand-written devices that may be late, wrong or garbled.

pymodbus' own server does not serve here: it mislabels the answers to requests that overlap.
"""

import asyncio
import os
import struct
import tty
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from pymodbus.framer import FramerRTU

Device = Callable[[bytes], list[tuple[float, bytes]]]
"""From a request to what is said and after how many seconds."""


def crc(frame: bytes) -> bytes:
    """The frame with its checksum."""
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2)


def rtu_device(delays: dict[int, float] | None = None) -> Device:
    """Every register holds its own address, so that a wrong value can be seen; some addresses take their time."""

    def answer(request: bytes) -> list[tuple[float, bytes]]:
        unit, function, address, count = struct.unpack(">BBHH", request[:6])
        values = struct.pack(f">{count}H", *range(address, address + count))
        return [((delays or {}).get(address, 0.0), crc(bytes([unit, function, 2 * count]) + values))]

    return answer


def tardy_device(slow: int) -> Device:
    """Later than anybody waits: it answers for `slow` when it is asked for something else (but register 0)."""
    held: list[tuple[float, bytes]] = []

    def answer(request: bytes) -> list[tuple[float, bytes]]:
        address = int.from_bytes(request[2:4])
        (own,) = rtu_device()(request)
        if address == slow:
            held.append(own)
            return []
        if held and address != 0:
            return [held.pop(), (0.1, own[1])]
        return [own]

    return answer


class _Bus:
    """Carries requests to the device and what it says to whoever listens at that moment, as a serial line does."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.asked: list[bytes] = []
        self._pending: set[asyncio.TimerHandle] = set()
        self._arrived = asyncio.Event()

    async def was_asked(self, times: int) -> None:
        """Wait for the request of that number."""
        async with asyncio.timeout(5):
            while len(self.asked) < times:
                self._arrived.clear()
                await self._arrived.wait()

    def take(self, request: bytes) -> None:
        self.asked.append(request)
        self._arrived.set()
        loop = asyncio.get_running_loop()
        for seconds, answer in self.device(request):
            if seconds:
                self._pending.add(loop.call_later(seconds, self.say, answer))
            else:
                self.say(answer)

    def say(self, data: bytes) -> None:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for timer in self._pending:
            timer.cancel()


class PtyBus(_Bus):
    """A serial line. `path` is the master's end."""

    async def __aenter__(self) -> Self:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        self._is_plugged = True
        return self

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)  # type: ignore[arg-type]
        self.unplug()

    def unplug(self) -> None:
        if self._is_plugged:
            self._is_plugged = False
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)

    def config(self, **more: Any) -> dict[str, Any]:
        """The "config" object of a connection to it."""
        return {"transport": "rtu", "port": self.path, "baudrate": 115200, "timeout": 1.0, "silence": 0.1, **more}

    def say(self, data: bytes) -> None:
        os.write(self._master, data)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            self.take(os.read(self._master, 300))


class GatewayBus(_Bus):
    """A raw TCP gateway: whatever the line says goes to whoever is connected then, asked or not."""

    async def __aenter__(self) -> Self:
        self._clients: list[asyncio.Transport] = []
        self._server = await asyncio.get_running_loop().create_server(lambda: _Client(self), "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)  # type: ignore[arg-type]
        self._server.close()
        self.hang_up()
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close every connection."""
        for client in self._clients:
            client.close()

    def config(self, **more: Any) -> dict[str, Any]:
        """The "config" object of a connection to it."""
        own = {"transport": "rtu_over_tcp", "host": "127.0.0.1", "port": self.port, "timeout": 1.0, "silence": 0.1}
        return {**own, **more}

    def say(self, data: bytes) -> None:
        for client in self._clients:
            client.write(data)


class TcpBus(GatewayBus):
    """A Modbus TCP device."""

    def config(self, **more: Any) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "timeout": 1.0, **more}


class _Client(asyncio.Protocol):
    def __init__(self, bus: GatewayBus) -> None:
        self._bus = bus

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._bus._clients.append(transport)

    def data_received(self, data: bytes) -> None:
        self._bus.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._bus._clients.remove(self._transport)
