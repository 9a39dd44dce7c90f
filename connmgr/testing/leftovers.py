"""What a connection has left behind: tasks, threads and open files that were not there before."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

SETTLE = 2.0
"""Seconds that things get to end by themselves; a clean connection needs next to none of it."""

LOOK_EVERY = 0.01  # seconds

_OUR_TASKS = ("fault proxy", "pty proxy", "contract")
_OUR_THREADS = ("asyncio_", "contract")  # the loop's default executor keeps its threads on purpose


class Leftovers:
    """Remembers what is there now, to say later what has come on top. Make it in the running loop.

    Args:
        theirs: the descriptors of the other side, asked for at each look.
        listening_at: the device's port; sockets bound to it are the simulator's.
    """

    def __init__(self, theirs: Callable[[], Collection[int]], listening_at: int | None) -> None:
        self._theirs = theirs
        self._listening_at = listening_at
        self._tasks = asyncio.all_tasks()
        self._threads = set(threading.enumerate())
        self._files = self._open_files()

    async def found(self) -> list[str]:
        """What is left after a fair wait, in words; empty when nothing is."""
        await asyncio.sleep(0)
        for _ in range(int(SETTLE / LOOK_EVERY)):
            if not (left := self.right_now()):
                break
            await asyncio.sleep(LOOK_EVERY)
        return left

    def right_now(self) -> list[str]:
        """The same without waiting."""
        tasks = [
            f"task {task.get_name()!r}"
            for task in asyncio.all_tasks() - self._tasks
            if task is not asyncio.current_task() and not task.get_name().startswith(_OUR_TASKS)
        ]
        threads = [
            f"thread {thread.name!r}"
            for thread in set(threading.enumerate()) - self._threads
            if thread.is_alive() and not thread.name.startswith(_OUR_THREADS)
        ]
        return tasks + threads + [f"open file {name}" for name in (self._open_files() - self._files).elements()]

    def _open_files(self) -> Counter[str]:
        found: Counter[str] = Counter()
        theirs = set(self._theirs())
        for entry in Path("/proc/self/fd").iterdir():
            number = int(entry.name)
            with suppress(OSError):
                name = str(entry.readlink())
                if number in theirs or name.startswith("/proc/"):
                    continue
                if name.startswith("socket:"):
                    here, there = _addresses(number)
                    if self._listening_at is not None and here.endswith(f":{self._listening_at}"):
                        continue
                    name = f"{name} {here} -> {there}"
                found[name] += 1
        return found


def _addresses(number: int) -> tuple[str, str]:
    """Both ends of a socket as text; "?" for one that is not there (any more)."""
    with socket.socket(fileno=os.dup(number)) as sock:
        return _text(sock.getsockname), _text(sock.getpeername)


def _text(ask: Callable[[], object]) -> str:
    try:
        address = ask()
    except OSError:
        return "?"
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)
