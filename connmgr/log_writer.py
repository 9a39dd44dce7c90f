"""The thread that writes log lines, so that nobody else ever waits for standard error.

A pipe whose reader stopped, a serial console, a full disk: writing may take for ever, and an event loop that writes
takes for ever with it. Here a line is put into a bounded queue, which never waits; when the queue is full the newest
lines are dropped, counted, and the gap is marked where it is.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

_PIPE_BUF = 4096
"""Bytes a pipe takes in one piece, so that lines of other processes on the same pipe stay whole beside ours."""

RESERVE = 100
"""Lines that may wait above the bound when they are urgent."""

Notice = Callable[[str, int, float], bytes]
"""Makes a line of: a text, how many lines it is about, and for how many seconds it lasted."""


class LineWriter:
    """Writes whole lines to a file descriptor from a thread of its own, named "connmgr.log".

    The descriptor is duplicated: whoever closes `sys.stderr` does not silence us.

    Args:
        fd: where to write; a pipe, file, terminal or socket, blocking or not.
        notice: makes the lines that say what was lost.
        max_lines: lines held at most; with `max_bytes`, the bound on memory.
        max_bytes: bytes held at most.
    """

    def __init__(self, fd: int, notice: Notice, *, max_lines: int = 10_000, max_bytes: int = 16 * 2**20) -> None:
        self._fd = os.dup(fd)
        self._notice = notice
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        # Reentrant, because a __del__ that logs may run between any two lines of put() in the same thread.
        self._lock = threading.RLock()
        self._put_lines = self._put_bytes = 0  # only ever grow; under the lock
        self._done_lines = self._done_bytes = 0  # only ever grow; written by the thread alone, so no lock
        self._gap = 0  # lines dropped since the queue was last full
        self._gap_began = 0.0
        self._unwritten = 0  # lines the descriptor refused, not told yet; the thread's own
        self._refused_because = ""
        self._refused_since = 0.0
        self._mid_line = False
        self._closed = False
        self.dropped = 0
        """Lines lost so far, for whatever reason."""
        self._thread = threading.Thread(target=self._run, name="connmgr.log", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Lines taken and not written yet."""
        return self._put_lines - self._done_lines

    def put(self, line: bytes, *, urgent: bool = False) -> None:
        """Take `line` (whole, with its line feed), or drop and count it when there is no room. Never waits.

        An `urgent` one, such as the error that ends the program, has room of its own: `RESERVE` lines above the bound.
        """
        with self._lock:
            if self._gap and self._half_is_free():
                self._mark_gap()
            if self._closed:
                self.dropped += 1
            elif urgent and self.backlog < self._max_lines + RESERVE:
                self._mark_gap()
                self._append(line)
            elif self._gap or not self._has_room(len(line)):
                # Once full, everything is dropped until half is free: one marked gap instead of a thousand holes.
                if not self._gap:
                    self._gap_began = time.monotonic()
                self._gap += 1
                self.dropped += 1
            else:
                self._append(line)

    def close(self, timeout: float) -> int:
        """Write what is left within `timeout` seconds and return how many lines were not written. May be repeated."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._mark_gap()
                self._queue.put(None)
        self._thread.join(timeout)
        if not self._thread.is_alive() and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        # Otherwise the thread still sits in write(): closing the number under it could hit a stranger's file.
        return self.backlog

    def _has_room(self, size: int) -> bool:
        return self.backlog < self._max_lines and self._put_bytes - self._done_bytes + size <= self._max_bytes

    def _append(self, line: bytes) -> None:
        self._put_lines += 1
        self._put_bytes += len(line)
        self._queue.put(line)

    def _mark_gap(self) -> None:
        if self._gap:
            count, self._gap = self._gap, 0
            seconds = time.monotonic() - self._gap_began
            self._append(self._notice(f"{count} log lines dropped: standard error was blocked", count, seconds))

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch, stopping = self._take()
            if batch:
                self._write_batch(batch)
                self._done_lines += len(batch)
                self._done_bytes += sum(map(len, batch))
            if self._gap and self._half_is_free():
                with self._lock:
                    self._mark_gap()

    def _half_is_free(self) -> bool:
        held = self._put_bytes - self._done_bytes
        return self.backlog <= self._max_lines // 2 and held <= self._max_bytes // 2

    def _take(self) -> tuple[list[bytes], bool]:
        """Wait for a line, then take what fits beside it into one write; and whether it is time to stop."""
        batch: list[bytes] = []
        size = 0
        line = self._queue.get()
        while line is not None:
            batch.append(line)
            size += len(line)
            if size >= _PIPE_BUF // 2:
                return batch, False
            try:
                line = self._queue.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _write_batch(self, batch: list[bytes]) -> None:
        data = b"".join(batch)
        if self._unwritten:
            seconds = time.monotonic() - self._refused_since
            why = f"{self._unwritten} log lines lost: cannot write to standard error: {self._refused_because}"
            data = b"\n" * self._mid_line + self._notice(why, self._unwritten, seconds) + data
        try:
            self._write(data)
            self._unwritten = 0
        except OSError as error:
            if not self._unwritten:
                self._refused_since = time.monotonic()
            self._unwritten += len(batch)
            self._refused_because = error.strerror or str(error)
            with self._lock:
                self.dropped += len(batch)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                count = os.write(self._fd, rest)
            except BlockingIOError:  # somebody who shares the pipe made it non-blocking
                waiting = select.poll()
                waiting.register(self._fd, select.POLLOUT)
                waiting.poll(1000)
                continue
            self._mid_line = rest[count - 1] != ord("\n")
            rest = rest[count:]
