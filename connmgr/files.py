"""Reading a small file that somebody else wrote: bounded, and never waiting for a pipe or a device."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class UnreadableFile(Exception):
    """A file was not read. Says why without naming the file; `remedy` may be empty."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class FileContent:
    """What stood in a file; `mode` is its permission bits."""

    data: bytes
    mode: int


def read_regular_file(path: Path, limit: int) -> FileContent:
    """All bytes of a regular file (or of one a symbolic link leads to).

    Raises:
        UnreadableFile: when it is missing, forbidden, no regular file, larger than `limit` bytes, writable for
            everybody, or was written to in the meantime.
    """
    try:
        # Looked at before it is opened (opening a device can already do something), and again once it is open.
        _refuse_odd_kinds(path.stat())
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            _refuse_odd_kinds(before)
            if before.st_mode & stat.S_IWOTH:
                raise UnreadableFile("everybody on this machine can change it", f"chmod o-w {path}")
            data = file.read(limit + 1)
            after = os.fstat(descriptor)
    except FileNotFoundError:
        raise UnreadableFile("there is no such file", "check the path") from None
    except PermissionError:
        raise UnreadableFile("permission denied", "make it readable for the user that runs connmgr") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableFile(reason, "check the path") from None
    if len(data) > limit:
        raise UnreadableFile(f"larger than {_size(limit)}", "is it the right file?")
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UnreadableFile("it was changed while it was read", "write a new file and rename it over the old one")
    return FileContent(data, stat.S_IMODE(before.st_mode))


def _refuse_odd_kinds(status: os.stat_result) -> None:
    for is_kind, name in _KINDS:
        if is_kind(status.st_mode):
            raise UnreadableFile(f"it is {name}", "a regular file is expected")


def _size(limit: int) -> str:
    return f"{limit >> 20} MB" if limit >= 1 << 20 else f"{limit >> 10} KiB"
