"""A TCP proxy that breaks the line on request: put it between a connection and its device."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Self

from connmgr.testing.faults import PIECE, Direction, Faults, LineCutError

DIAL_TIMEOUT = 5.0  # seconds to reach the device


class _Door(Enum):
    """What happens to clients that dial."""

    OPEN = "forward"
    DROP = "accept and close"
    SILENT = "accept and say nothing"


class FaultProxy(Faults):
    """Forwards TCP from 127.0.0.1 to a device, with faults that are switched while it runs. An async context manager.

    The port stays reserved while the proxy refuses, so nobody else can take it. A device that cannot be reached shows
    to the client as a reset right after accepting.

    Args:
        host: where the device is.
        port: its port.

    Attributes:
        host: where the proxy listens.
        port: its port, chosen by the system.
        accepted: clients accepted so far.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self.target = (host, port)
        self.host = "127.0.0.1"
        self.accepted = 0
        self._door = _Door.OPEN
        self._lines: set[_Line] = set()
        self._reserved = _bound(self.host, 0)
        self.port: int = self._reserved.getsockname()[1]
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    @property
    def live(self) -> int:
        """Clients connected right now."""
        return len(self._lines)

    @property
    def descriptors(self) -> set[int]:
        """The proxy's own open files."""
        ends = (end for line in self._lines for end in (line.client, line.device) if end)
        socks = [self._reserved, self._listener, *(end.sock for end in ends)]
        return {sock.fileno() for sock in socks if sock} - {-1}

    async def __aenter__(self) -> Self:
        self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening and close every line; no task and no socket is left."""
        tasks = {self._accepting} if self._accepting else set()
        self.refuse()
        self._reserved.close()
        for line in list(self._lines):
            tasks.add(line.task)
            line.end()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- faults of TCP, next to those of `Faults`

    def cut(self) -> None:
        """Close all live lines properly, on both sides (FIN)."""
        for line in list(self._lines):
            line.end()

    def reset(self) -> None:
        """Break all live lines on both sides (RST)."""
        for line in list(self._lines):
            line.end(by_reset=True)

    def half_open(self) -> None:
        """The device is gone and the client is not told: live lines stay open and carry nothing until they are cut."""
        for line in list(self._lines):
            line.lose_device()

    def accept_and_drop(self) -> None:
        """Accept new clients and close them at once."""
        self._door = _Door.DROP

    def accept_then_silence(self) -> None:
        """Accept new clients, swallow what they say and never answer. They stay so until they are cut."""
        self._door = _Door.SILENT

    def refuse(self) -> None:
        """Refuse new clients; live lines go on."""
        if self._accepting:
            self._accepting.cancel()
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener)  # before the number can be another file's
            self._listener.close()
        self._accepting = self._listener = None

    def heal(self) -> None:
        """End every fault. Lines that were broken stay broken; new clients get through."""
        self.heal_line()
        self._door = _Door.OPEN
        if self._listener is None:
            self._listen()

    # --- inside

    def _listen(self) -> None:
        self._listener = _bound(self.host, self.port)
        self._listener.listen(1024)
        self._accepting = asyncio.create_task(self._accept(self._listener), name=f"fault proxy {self.port} accept")

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError:  # out of descriptors: they may come back
                await asyncio.sleep(0.1)
                continue
            client.setblocking(False)
            self.accepted += 1
            if self._door is _Door.DROP:
                client.close()
                continue
            line = _Line(client)
            self._lines.add(line)
            silent = self._door is _Door.SILENT
            line.task = asyncio.create_task(self._serve(line, silent=silent), name=f"fault proxy {self.port} line")
            line.task.add_done_callback(partial(self._over, line))

    def _over(self, line: _Line, _: asyncio.Task[None]) -> None:
        self._lines.discard(line)
        line.close()

    async def _serve(self, line: _Line, *, silent: bool) -> None:
        try:
            if silent:
                while await line.client.receive():
                    pass
                return
            await line.dial(self.target)
            assert line.device
            async with asyncio.TaskGroup() as both:
                both.create_task(self._one_way(line, Direction.TO_DEVICE), name=f"fault proxy {self.port} to device")
                both.create_task(self._one_way(line, Direction.TO_CLIENT), name=f"fault proxy {self.port} to client")
        except* LineCutError as cut:
            line.by_reset = any(isinstance(each, LineCutError) and each.by_reset for each in cut.exceptions)
        except* (OSError, TimeoutError):
            line.by_reset = True

    async def _one_way(self, line: _Line, direction: Direction) -> None:
        source, sink = line.ends(direction)
        try:
            await self.pump(source, sink, direction)
        except OSError:
            if not line.device_is_lost:
                raise
        if not line.device_is_lost:
            return sink.finish()
        if direction is Direction.TO_CLIENT:
            await asyncio.Event().wait()  # nothing comes any more, not even an end
        while await line.client.receive():
            pass
        raise LineCutError(by_reset=False)


class _End:
    """One socket of a line."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, PIECE)

    def receive_now(self) -> bytes:
        try:
            return self.sock.recv(PIECE)
        except OSError:
            return b""

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def finish(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self, *, by_reset: bool) -> None:
        with suppress(OSError):
            if by_reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.sock.shutdown(socket.SHUT_WR)  # closing over unread input says RST alone
        self.sock.close()


class _Line:
    """One client, its way to the device, and the task that serves both."""

    task: asyncio.Task[None]

    def __init__(self, client: socket.socket) -> None:
        self.client = _End(client)
        self.device: _End | None = None
        self.by_reset = False
        self.device_is_lost = False

    async def dial(self, target: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DIAL_TIMEOUT):
            (family, kind, proto, _, address), *_ = await loop.getaddrinfo(*target, type=socket.SOCK_STREAM)
            sock = socket.socket(family, kind, proto)
            sock.setblocking(False)
            self.device = _End(sock)
            await loop.sock_connect(sock, address)

    def ends(self, direction: Direction) -> tuple[_End, _End]:
        assert self.device
        return (self.client, self.device) if direction is Direction.TO_DEVICE else (self.device, self.client)

    def lose_device(self) -> None:
        self.device_is_lost = True
        if self.device:
            with suppress(OSError):
                self.device.sock.shutdown(socket.SHUT_RDWR)

    def end(self, *, by_reset: bool = False) -> None:
        self.by_reset = by_reset
        self.task.cancel()

    def close(self) -> None:
        for end in (self.client, self.device):
            if end:
                end.close(by_reset=self.by_reset)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that holds the address; several may, as long as only one of them listens."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
