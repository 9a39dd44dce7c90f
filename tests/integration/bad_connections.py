"""Connections that each break one promise of the contract, the way real plugins do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict

from connmgr import BaseConnection, PermanentError, TransientError
from tests.integration.line_device import LineConnection, LineOptions


class LeaksASocketOnCancel(LineConnection):
    """Asks before it has remembered its socket."""

    async def connect(self) -> bool:
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        _leaked.append(sock)
        await loop.sock_connect(sock, (self.options.host, self.options.port))
        await loop.sock_sendall(sock, b"PING\n")
        await loop.sock_recv(sock, 100)
        sock.close()
        return await super().connect()


_leaked: list[socket.socket] = []


def close_leaked() -> None:
    """Clean up after LeaksASocketOnCancel."""
    while _leaked:
        _leaked.pop().close()


class LeaksATask(LineConnection):
    """Its keep-alive goes on after the session."""

    async def connect(self) -> bool:
        asyncio.get_running_loop().create_task(asyncio.sleep(3600), name="keep alive")
        return await super().connect()


class HandsOutTheLateAnswer(LineConnection):
    """Its timeout leaves the request half-way and the link in use."""

    async def ask(self, question: str) -> str:
        async with asyncio.timeout(self.options.timeout):
            return await self._ask(question)


class KeepsItsLineForTheNextSession(LineConnection):
    """Saves the time to dial again, and finds the old answers there."""

    _kept: Any = None

    async def connect(self) -> bool:
        if self._kept:
            self._streams, self._kept = self._kept, None
            return True
        return await super().connect()

    async def disconnect(self) -> bool:
        self._kept, self._streams = self._streams, None
        return True


class DisconnectReturnsNone(LineConnection):
    """Forgets its return."""

    async def disconnect(self) -> bool:
        await super().disconnect()
        return None  # type: ignore[return-value]


class IsConnectedReturnsAnObject(LineConnection):
    """Hands out what it has in place of a bool."""

    def is_connected(self) -> bool:
        return self._streams  # type: ignore[return-value]


class SwallowsCancellation(LineConnection):
    """Takes a cancellation for an answer."""

    async def ask(self, question: str) -> str:
        try:
            return await super().ask(question)
        except asyncio.CancelledError:
            return "PONG"


class IgnoresCancellation(LineConnection):
    """Dials until it succeeds, whatever anybody says."""

    async def connect(self) -> bool:
        give_up_at = time.monotonic() + 3
        await super().connect()
        while time.monotonic() < give_up_at:
            with contextlib.suppress(TransientError, asyncio.CancelledError, TimeoutError):
                async with asyncio.timeout(0.3):
                    if await self._ask("PING") == "PONG":
                        break
        return True


class HealthCheckLooksAtTheSocket(LineConnection):
    """Believes that an open socket is a living device."""

    async def health_check(self) -> bool:
        return self.is_connected()


class HealthCheckAlwaysWell(LineConnection):
    """Never looks."""

    async def health_check(self) -> bool:
        return True


class SharesItsStateWithItsClass(LineConnection):
    """A dict on the class is everybody's."""

    cache: ClassVar[dict[str, Any]] = {}

    async def connect(self) -> bool:
        await super().connect()
        self.cache["streams"] = self._streams
        return True

    async def ask(self, question: str) -> str:
        self._streams = self.cache.get("streams")
        return await super().ask(question)


class TellsItsPassword(LineConnection):
    """Says which login it tried."""

    async def connect(self) -> bool:
        try:
            return await super().connect()
        except TransientError as error:
            password = self.options.password.get_secret_value()
            raise TransientError(f"{error} (login with {password})") from None


class LogsItsPassword(LineConnection):
    """Says it in the log."""

    async def connect(self) -> bool:
        self.logger.info("login", password=self.options.password.get_secret_value())
        return await super().connect()


class DialsInItsConstructor(LineConnection):
    """Is in a hurry."""

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:
        super().__init__(connection_id, config, app_context)
        with contextlib.suppress(OSError), socket.create_connection((self.options.host, self.options.port), timeout=1):
            pass


class StartsAThreadInItsConstructor(LineConnection):
    """Is in another hurry."""

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:
        super().__init__(connection_id, config, app_context)
        threading.Thread(target=time.sleep, args=(0.5,), name="early", daemon=True).start()


class BlocksTheLoop(LineConnection):
    """Sleeps where it should wait."""

    async def connect(self) -> bool:
        time.sleep(0.4)  # noqa: ASYNC251 - the very mistake
        return await super().connect()


class WaitsForEver(LineConnection):
    """Has no deadline."""

    async def ask(self, question: str) -> str:
        async with self.exchange(3600):
            return await self._ask(question)


class ReadsWithoutLimit(LineConnection):
    """Collects until there is a line."""

    async def _ask(self, question: str) -> str:
        if self._streams is None:
            raise TransientError("cannot ask: not connected")
        reader, writer = self._streams
        writer.write(question.encode() + b"\n")
        answer = bytearray()
        while not answer.endswith(b"\n"):
            piece = await reader.read(65_536)
            if not piece:
                raise TransientError("cannot read the answer: it ended")
            answer += piece * 8  # a device on a fast network, for a test that wants to end soon
            answer = answer.replace(piece * 8, piece) if len(answer) < 4096 else answer
        return answer.strip().decode(errors="replace")


class TakesHalfALine(LineConnection):
    """readline() gives what there is when the line ends."""

    async def _ask(self, question: str) -> str:
        if self._streams is None:
            raise TransientError("cannot ask: not connected")
        reader, writer = self._streams
        writer.write(question.encode() + b"\n")
        try:
            return (await reader.readline()).strip().decode(errors="replace")
        except ValueError:
            raise TransientError("cannot read the answer: too long") from None


class TakesAPieceForAnAnswer(LineConnection):
    """What one read brings is the answer."""

    async def _ask(self, question: str) -> str:
        if self._streams is None:
            raise TransientError("cannot ask: not connected")
        reader, writer = self._streams
        writer.write(question.encode() + b"\n")
        piece = await reader.read(4096)
        if not piece.endswith(b"\n") and len(piece) != 1:
            raise TransientError("cannot read the answer: it is no line")
        return piece.strip().decode(errors="replace")


class StumblesOverNonsense(LineConnection):
    """Trusts the device to send text."""

    async def _ask(self, question: str) -> str:
        answer = await super()._ask(question)
        if answer != "PONG" and not answer.startswith("word-"):
            raise IndexError("list index out of range")
        return answer


class NeverNoticesALoss(LineConnection):
    """Finds out at the next health check."""

    def connection_lost(self, reason: str) -> None:
        pass


class CannotDisconnectTwice(LineConnection):
    """Closes what may not be there."""

    async def disconnect(self) -> bool:
        assert self._streams is not None
        return await super().disconnect()


class WorksOnce(LineConnection):
    """Its state belongs to the first session."""

    _used = False

    async def connect(self) -> bool:
        if self._used:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self._used = True
        return await super().connect()


class FailsVaguely(LineConnection):
    """Does not say where."""

    async def connect(self) -> bool:
        try:
            return await super().connect()
        except TransientError:
            raise TransientError("cannot connect") from None


class GivesUpForGood(LineConnection):
    """Takes a device that is switched off for a wrong configuration."""

    async def connect(self) -> bool:
        try:
            return await super().connect()
        except TransientError as error:
            raise PermanentError(str(error)) from None


class AnswersWithoutALink(LineConnection):
    """An empty answer in place of an error."""

    async def echo(self) -> str:
        return await super().echo() if self._streams else ""


class _BareOptions(LineOptions):
    model_config = ConfigDict(frozen=False, extra="ignore")

    retries: int = 3


class HasBareOptions(LineConnection):
    """Options that nobody can look up."""


HasBareOptions.options_model = _BareOptions


class PlainConnection(BaseConnection[LineOptions]):
    """Not bad at all: the good one with blocking methods."""

    _socket: socket.socket | None = None

    def connect(self) -> bool:
        host, port = self.options.host, self.options.port
        try:
            self._socket = socket.create_connection((host, port), timeout=self.options.timeout)
        except OSError as error:
            raise TransientError(f"cannot connect tcp://{host}:{port}: {error}") from error
        return True

    def disconnect(self) -> bool:
        if self._socket:
            self._socket.close()
            self._socket = None
        return True

    def is_connected(self) -> bool:
        return self._socket is not None

    def health_check(self) -> bool:
        return self.ask(b"PING\n") == b"PONG\n"

    def echo(self) -> str:
        return self.ask(b"ECHO hello\n").decode(errors="replace")

    def ask(self, question: bytes) -> bytes:
        with self.exchange(self.options.timeout):
            if self._socket is None:
                raise TransientError("cannot ask: not connected")
            give_up_at = time.monotonic() + self.options.timeout
            self._socket.sendall(question)
            answer = b""
            while not answer.endswith(b"\n"):
                left = give_up_at - time.monotonic()
                if left <= 0 or len(answer) > 4096:
                    raise TransientError("cannot read the answer: too long or too late")
                self._socket.settimeout(left)
                piece = self._socket.recv(1024)
                if not piece:
                    raise TransientError("cannot read the answer: it ended")
                answer += piece
            return answer


class PlainWithASecretInItsStatus(PlainConnection):
    """Keeps its login where everybody looks."""

    def connect(self) -> bool:
        self.last_error = f"last login: {self.options.password.get_secret_value()}"
        return super().connect()
