"""A device on a pty for tests, which says exactly what it is told to say, when it is told to."""

import asyncio
import os
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Says = list[tuple[float, bytes]]


def nothing(_: bytes) -> Says:
    """Never answers."""
    return []


class Device:
    """Found at `path`; answers each piece it hears with `answer(piece)`: what to say after how many seconds."""

    def __init__(self, path: Path, answer: Callable[[bytes], Says] = nothing, *, listens: bool = True) -> None:
        self.path = path
        self.answer = answer
        self.heard = bytearray()
        self._listens = listens
        self._arrived = asyncio.Event()
        self._timers: list[asyncio.TimerHandle] = []
        self._ends: tuple[int, int] | None = None

    async def __aenter__(self) -> Self:
        self.plug_in()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        self.unplug()

    def plug_in(self) -> None:
        self._ends = master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self.path.symlink_to(os.ttyname(slave))
        if self._listens:
            asyncio.get_running_loop().add_reader(master, self._read, master)

    def unplug(self) -> None:
        if self._ends is not None:
            asyncio.get_running_loop().remove_reader(self._ends[0])
            for end in self._ends:
                os.close(end)
            self._ends = None
            self.path.unlink()

    def config(self, **more: Any) -> dict[str, Any]:
        """The "config" object of a connection to it."""
        return {"port": str(self.path), "timeout": 1.0, "silence": 0.1, **more}

    def say(self, data: bytes) -> None:
        """Send it now."""
        assert self._ends is not None
        os.write(self._ends[0], data)

    async def hears(self, data: bytes) -> None:
        """Wait until `data` has been said to it."""
        async with asyncio.timeout(5):
            while data not in self.heard:
                self._arrived.clear()
                await self._arrived.wait()

    async def says(self, data: bytes) -> None:
        """Say it and wait until it has arrived: a pty hands bytes over a moment later."""
        self.say(data)
        await asyncio.sleep(0.05)

    def _read(self, master: int) -> None:
        piece = os.read(master, 4096)
        self.heard += piece
        self._arrived.set()
        for seconds, words in self.answer(piece):
            if seconds:
                self._timers.append(asyncio.get_running_loop().call_later(seconds, self.say, words))
            else:
                self.say(words)
