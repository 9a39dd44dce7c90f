"""The devices: a server that answers PONG to every line, as cheaply as Python can. A process of its own.

    python -m benchmarks.server PORT HOST…        (PORT 0: any free one)

Says `{"port": …}` when it listens. The command `accepted` gives the times (monotonic) at which clients came.
"""

import asyncio
import socket
import sys
import time
from typing import cast

import uvloop

from benchmarks.child import answer, commands
from benchmarks.machine import raise_file_limit

accepted: list[float] = []


class Device(asyncio.Protocol):
    """One client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not say that they are
        accepted.append(time.monotonic())

    def data_received(self, data: bytes) -> None:
        self._transport.write(b"PONG\n" * data.count(b"\n"))


async def main(port: int, hosts: list[str]) -> None:
    """Listen on every host at the same port, until standard input ends."""
    raise_file_limit()
    loop = asyncio.get_running_loop()
    for host in hosts:
        listener = socket.create_server((host, port), backlog=4096)
        port = listener.getsockname()[1]
        await loop.create_server(Device, sock=listener, backlog=4096)
    answer(port=port)
    async for _ in commands():
        answer(times=accepted)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2:]))
