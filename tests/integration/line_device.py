"""A device that answers one line with one line, and the connection to it that keeps every rule of the contract."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from connmgr import BaseConnection, Host, Port, Seconds, TransientError, map_errors
from connmgr.testing import Simulator

LIMIT = 4096  # bytes of a line
_numbers = itertools.count(1)


class LineSimulator(Simulator):
    """Answers "PING" with "PONG", "ECHO x" with "x"."""

    default_port = 0

    def __init__(self, host: str = "127.0.0.1", port: int | str | None = None) -> None:
        super().__init__(host, port)
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, self.host, int(self.port), limit=LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server:
            server.close()
            for writer in self._clients:
                writer.transport.abort()
            await asyncio.gather(*self._clients.values(), return_exceptions=True)
            await asyncio.sleep(0)  # asyncio closes their sockets in the loop's next round
            await server.wait_closed()

    @property
    def config(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "timeout": 0.4, "password": "pa55word"}

    @property
    def endpoint(self) -> str:
        return f"{self.host}:{self.port}"

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # accepted while it was being stopped
            writer.transport.abort()
            return
        self._clients[writer] = asyncio.create_task(self._serve(reader, writer), name="line simulator")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                command, _, rest = line.strip().partition(b" ")
                writer.write((b"PONG" if command == b"PING" else rest) + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            del self._clients[writer]
            writer.transport.abort()


class LineOptions(BaseModel):
    """Options of a line device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Host = Field(description="Name or address of the device.")
    port: Port = Field(description="TCP port of the device.")
    timeout: Seconds = Field(2.0, description="Seconds an answer may take.")
    password: SecretStr = Field(SecretStr(""), description="Password of the device.")


class _Watching(asyncio.StreamReaderProtocol):
    """A stream that tells when it ends."""

    def __init__(self, connection: LineConnection) -> None:
        self.reader = asyncio.StreamReader(LIMIT)
        super().__init__(self.reader)
        self._connection = connection

    def eof_received(self) -> bool | None:
        self._connection.connection_lost("the device closed the line")
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._connection.connection_lost(str(exc))
        super().connection_lost(exc)


class LineConnection(BaseConnection[LineOptions]):
    """Asks a line, reads a line."""

    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> bool:
        await self._dial()
        return True

    async def _dial(self) -> None:
        options, loop = self.options, asyncio.get_running_loop()
        with map_errors(f"connect tcp://{options.host}:{options.port}", {OSError: TransientError}):
            transport, protocol = await loop.create_connection(lambda: _Watching(self), options.host, options.port)
        self._streams = protocol.reader, asyncio.StreamWriter(transport, protocol, protocol.reader, loop)

    async def disconnect(self) -> bool:
        if self._streams:
            writer = self._streams[1]
            self._streams = None
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
        return True

    def is_connected(self) -> bool:
        return self._streams is not None and not self._streams[1].is_closing()

    async def health_check(self) -> bool:
        return await self.ask("PING") == "PONG"

    async def echo(self) -> str:
        """A question that is different each time, so that a wrong answer can be told."""
        word = f"word-{next(_numbers)}"
        return "right" if await self.ask(f"ECHO {word}") == word else "wrong"

    async def ask(self, question: str) -> str:
        async with self.exchange(self.options.timeout):
            return await self._ask(question)

    async def _ask(self, question: str) -> str:
        if self._streams is None:
            raise TransientError(f"cannot ask {self.connection_id}: it is not connected")
        reader, writer = self._streams
        with map_errors(f"ask {self.options.host}:{self.options.port}", {OSError: TransientError}):
            writer.write(question.encode() + b"\n")
            await writer.drain()
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.LimitOverrunError:
                raise TransientError(f"cannot read the answer: it is longer than {LIMIT} bytes") from None
            except asyncio.IncompleteReadError as error:
                raise TransientError(f"cannot read the answer: it ended after {len(error.partial)} bytes") from None
        self.update_stats(packets_sent=1, packets_received=1, bytes_sent=len(question) + 1, bytes_received=len(line))
        return line.strip().decode(errors="replace")
