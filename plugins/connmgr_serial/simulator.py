"""A simulated device on a pty that speaks lines."""

import asyncio
import errno
import itertools
import math
import os
import tempfile
import tty
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from connmgr.testing import Simulator

LONGEST_LINE = 4096
_numbers = itertools.count(1)


class SerialSimulator(Simulator):
    """Answers each line with a line. `port` is the path where its port is found; 0 picks one.

    PING gives PONG, ID a name, TEMP a temperature that changes, COUNT a number that grows, ECHO x gives x, anything
    else ERR. Stopping it is pulling the plug: whoever has the port open gets an error, and the path is gone.
    """

    default_port: ClassVar[int | str] = "/tmp/connmgr-serial"  # noqa: S108 - a symlink that is refused when it exists

    def __init__(self, host: str = "127.0.0.1", port: int | str | None = None) -> None:
        super().__init__(host, port)
        if not isinstance(self.port, str):
            self.port = f"{tempfile.gettempdir()}/connmgr-serial-{os.getpid()}-{next(_numbers)}"
        self._ends: tuple[int, int] | None = None
        self._unread = b""
        self._count = 0

    async def start(self) -> None:
        if self._ends is None:
            self._ends, self._unread = _plug_in(Path(str(self.port))), b""
            asyncio.get_running_loop().add_reader(self._ends[0], self._read, self._ends[0])

    async def stop(self) -> None:
        ends, self._ends = self._ends, None
        if ends is not None:
            asyncio.get_running_loop().remove_reader(ends[0])
            _unplug(Path(str(self.port)), ends)

    @property
    def config(self) -> dict[str, Any]:
        return {"port": self.port, "baudrate": 9600, "health_check": {"send": "PING\n", "expect": "PONG"}}

    @property
    def endpoint(self) -> str:
        return str(self.port)

    def _read(self, master: int) -> None:
        with suppress(OSError):
            *lines, self._unread = (self._unread + os.read(master, LONGEST_LINE)).split(b"\n")
            self._unread = self._unread[-LONGEST_LINE:]
            os.write(master, b"".join(self._answer(line.strip()) + b"\n" for line in lines))

    def _answer(self, line: bytes) -> bytes:
        word, _, rest = line.partition(b" ")
        match word:
            case b"PING":
                return b"PONG"
            case b"ID":
                return b"connmgr simulated serial device"
            case b"TEMP":
                return f"{22.5 + 2 * math.sin(asyncio.get_running_loop().time() / 10):.1f}".encode()
            case b"COUNT":
                self._count += 1
                return str(self._count).encode()
            case b"ECHO":
                return rest
            case _:
                return b"ERR"


def _plug_in(path: Path) -> tuple[int, int]:
    """A pty that is found at `path`: its master and its slave.

    Raises:
        OSError: something else is there.
    """
    _remove_leftover(path)
    master, slave = os.openpty()
    try:
        tty.setraw(slave)  # held open, so that the device runs before and after anybody has opened the path
        os.set_blocking(master, False)
        path.symlink_to(os.ttyname(slave))
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
    return master, slave


def _unplug(path: Path, ends: tuple[int, int]) -> None:
    path.unlink(missing_ok=True)
    for end in ends:
        os.close(end)


def _remove_leftover(path: Path) -> None:
    """Remove the symlink of a simulator that has died.

    Raises:
        FileExistsError: something else is there.
    """
    if path.is_symlink() and not path.exists() and str(path.readlink()).startswith("/dev/pts/"):
        path.unlink()
    elif path.is_symlink() or path.exists():
        raise FileExistsError(errno.EEXIST, "taken; delete it if no simulator is running there", str(path))
