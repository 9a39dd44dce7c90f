"""Devices that misbehave. A process of its own, which says `{"<behaviour>": port, …}`.

python -m benchmarks.bad_peers
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from benchmarks.child import answer, commands

GARBAGE = bytes(range(256)) * 256  # 64 KiB, with a line end in each 256 bytes
ENDLESS = b"x" * 65_536

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Never says anything."""
    await asyncio.sleep(3600)


async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte now and then, and never the end of a line."""
    while not writer.is_closing():
        writer.write(b"P")
        await asyncio.sleep(0.005)


async def garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lines of garbage, as fast as the other side takes them."""
    while True:
        writer.write(GARBAGE)
        await writer.drain()


async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One line without an end, as fast as the other side takes it."""
    while True:
        writer.write(ENDLESS)
        await writer.drain()


async def hangs_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accepts, and closes at once."""


def half_open() -> tuple[int, list[socket.socket]]:
    """A port whose queue of clients is full, so that nobody's connect ever ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port: int = listener.getsockname()[1]
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        with suppress(BlockingIOError):
            filler.connect(("127.0.0.1", port))
    return port, [listener, *fillers]


async def serve(client: Client) -> int:
    """Serve such clients on any free port."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await client(reader, writer)
        except OSError:
            pass  # it has gone away, as it should
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def main() -> None:
    """Misbehave until standard input ends."""
    port, kept_open = half_open()
    ports = {client.__name__: await serve(client) for client in (silent, trickle, garbage, endless, hangs_up)}
    answer(half_open=port, **ports)
    async for _ in commands():
        answer(sockets=len(kept_open))


if __name__ == "__main__":
    os.nice(19)  # a device has a processor of its own; here its flood must not be served at the others' expense
    asyncio.run(main())
