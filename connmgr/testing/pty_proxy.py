"""Serial lines without hardware: two ptys joined by a pump, and a proxy that breaks the line on request."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
import tty
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from connmgr.testing.faults import PIECE, Direction, Faults, LineCutError


class _Pty:
    """A pty in raw mode behind a symlink that outlives it. Closing it is what pulling the plug looks like."""

    def __init__(self, link: Path) -> None:
        master, self.slave = os.openpty()
        self.end = _Descriptor(master)
        self._link = link
        tty.setraw(self.slave)  # held open, so that the master works before anybody has opened the path
        fresh = link.with_name(f".{link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self.slave))
        fresh.replace(link)

    def close(self) -> None:
        self.end.close()
        os.close(self.slave)
        self._link.unlink(missing_ok=True)


class _Descriptor:
    """One terminal as a side of a line."""

    def __init__(self, number: int) -> None:
        os.set_blocking(number, False)
        self.number = number

    async def receive(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            try:
                if data := os.read(self.number, PIECE):
                    return data
                raise OSError(errno.EIO, "the other side of the terminal is gone")
            except BlockingIOError:
                await _ready(self.number, loop.add_reader, loop.remove_reader)

    def receive_now(self) -> bytes:
        try:
            return os.read(self.number, PIECE)
        except OSError:
            return b""

    async def send(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            try:
                data = data[os.write(self.number, data) :]
            except BlockingIOError:
                await _ready(self.number, loop.add_writer, loop.remove_writer)

    def close(self) -> None:
        os.close(self.number)


async def _ready(number: int, watch: Callable[[int, Callable[[], None]], None], leave: Callable[[int], object]) -> None:
    event = asyncio.Event()
    watch(number, event.set)
    try:
        await event.wait()
    finally:
        leave(number)


class _PtyLine(Faults):
    """A pty that a client opens at `path`, pumped to and from something on the other side."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        super().__init__()
        self._folder = None if path else tempfile.mkdtemp(prefix="connmgr-pty-")
        self.path = str(path or Path(self._folder or "", "line"))
        self._pty: _Pty | None = None
        self._far: _Descriptor | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended: list[asyncio.Task[None]] = []

    @abstractmethod
    def _open_far(self) -> _Descriptor: ...

    @abstractmethod
    def _close_far(self) -> None: ...

    async def __aenter__(self) -> Self:
        self.replug()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Unplug and clean up; no task, no descriptor and no file is left."""
        self.cut()
        await asyncio.gather(*self._ended, return_exceptions=True)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def descriptors(self) -> set[int]:
        """The proxy's own open files."""
        near = {self._pty.end.number, self._pty.slave} if self._pty else set()
        return near | ({self._far.number} if self._far else set())

    @property
    def plugged(self) -> bool:
        """Whether `path` is there."""
        return self._pty is not None

    def cut(self) -> None:
        """Pull the plug: whoever has `path` open gets an error, and the path is gone until `replug`."""
        task, self._task = self._task, None
        if task:
            if task is not asyncio.current_task():
                task.cancel()
            self._ended = [each for each in [*self._ended, task] if not each.done()]
        if self._pty:
            for end in (self._pty.end, self._far):
                if end:
                    asyncio.get_running_loop().remove_reader(end.number)  # before the number can be another file's
                    asyncio.get_running_loop().remove_writer(end.number)
            self._pty.close()
            self._close_far()
            self._pty = self._far = None

    def replug(self) -> None:
        """Plug in again, at the same path.

        Raises:
            OSError: the device's own path cannot be opened.
        """
        if self._pty is None:
            self._far = self._open_far()
            self._pty = _Pty(Path(self.path))
            self._task = asyncio.create_task(self._serve(self._pty.end, self._far), name=f"pty proxy {self.path}")

    def heal(self) -> None:
        """End every fault, and plug in if it was unplugged."""
        self.heal_line()
        self.replug()

    async def _serve(self, near: _Descriptor, far: _Descriptor) -> None:
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self.pump(near, far, Direction.TO_DEVICE), name=f"pty proxy {self.path} to device")
                both.create_task(self.pump(far, near, Direction.TO_CLIENT), name=f"pty proxy {self.path} to client")
        except* (LineCutError, OSError):
            pass
        self.cut()


class PtyFaultProxy(_PtyLine):
    """A pty in front of a serial device: the client opens `path` in place of `target`. An async context manager.

    Args:
        target: the device's own path, such as a simulator's pty; opened when the proxy starts and at each `replug`.
        path: where clients find it; None makes a temporary one.
    """

    def __init__(self, target: str, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__(path)
        self.target = target

    def refuse(self) -> None:
        """The same as `cut`: a path that cannot be opened."""
        self.cut()

    def _open_far(self) -> _Descriptor:
        far = _Descriptor(os.open(self.target, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        tty.setraw(far.number)
        return far

    def _close_far(self) -> None:
        if self._far:
            self._far.close()


class PtyPair(_PtyLine):
    """Two ptys joined back to back, like a null-modem cable: the client opens `path`, the device `device_path`.

    Pulling the plug concerns the client's end only; what the device says meanwhile is lost.

    Args:
        path: where the client's end is; None makes a temporary one.
        device_path: where the device's end is; None puts it beside `path`.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, device_path: str | os.PathLike[str] | None = None
    ) -> None:
        super().__init__(path)
        self.device_path = str(device_path or f"{self.path}.device")
        self._device: _Pty | None = None

    def _open_far(self) -> _Descriptor:
        if self._device is None:
            self._device = _Pty(Path(self.device_path))
        while self._device.end.receive_now():
            pass
        return self._device.end

    def _close_far(self) -> None:
        pass

    async def close(self) -> None:
        self.cut()
        if self._device:
            self._device.close()
            self._device = None
        await super().close()
