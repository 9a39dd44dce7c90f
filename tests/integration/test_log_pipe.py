"""Logging to a real pipe, terminal or device that does not take what is written."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connmgr.log_writer import LineWriter
from connmgr.logs import LogHandle, configure, get_logger

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A real pipe: where to read, where to write."""
    read, write = os.pipe()
    yield read, write
    for fd in (read, write):
        try:
            os.close(fd)
        except OSError:  # a test closed it
            continue


def read_all(fd: int) -> list[dict[str, Any]]:
    """Read until every writer has closed, and return one object a line."""
    with os.fdopen(os.dup(fd), "rb") as reader:
        data = reader.read()
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


class Reader:
    """Empties a pipe from a thread of its own until it is closed."""

    def __init__(self, fd: int) -> None:
        self.records: list[dict[str, Any]] = []
        self._fd = fd
        self._thread = threading.Thread(target=self._run, name="test.reader")
        self._thread.start()

    def _run(self) -> None:
        self.records = read_all(self._fd)

    def join(self) -> list[dict[str, Any]]:
        """Wait for the end and return all records."""
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.records


async def worst_lag(stop: asyncio.Event) -> float:
    """Return by how much the loop was late, at worst, until `stop`."""
    loop, worst = asyncio.get_running_loop(), 0.0
    while not stop.is_set():
        due = loop.time() + 0.005
        await asyncio.sleep(0.005)
        worst = max(worst, loop.time() - due)
    return worst


async def log_many(count: int) -> float:
    """Log `count` records, in small bursts as a loop does, and return the loop's worst lag meanwhile."""
    logger, stop = get_logger("connmgr.test", connection="press"), asyncio.Event()
    lag = asyncio.create_task(worst_lag(stop), name="test.lag")
    for number in range(count):
        logger.info("record", number=number)
        if number % 50 == 0:
            await asyncio.sleep(0)
    stop.set()
    return await lag


async def test_blocked_pipe_does_not_block_the_loop(pipe: Pipe) -> None:
    """With nobody reading standard error the loop runs on; what had no room is counted, marked in place, and over."""
    read, write = pipe
    handle = configure("json", fd=write, max_lines=1000)
    lag = await log_many(5000)
    assert lag < 0.5, f"the loop was {lag:.3f} s late: logging waited for the pipe"
    dropped = handle.dropped
    assert 0 < dropped < 4000 + 1  # the pipe itself holds some hundred lines

    reader = Reader(read)
    await wait_until_written(handle)
    get_logger("connmgr.test").info("after")
    assert handle.close(10) == 0
    os.close(write)
    records = reader.join()

    marks = [record for record in records if "dropped" in record["event"]]
    assert [mark["event"] for mark in marks] == [f"{dropped} log lines dropped: standard error was blocked"]
    assert (marks[0]["level"], marks[0]["lines"], marks[0]["logger"]) == ("warning", dropped, "connmgr.logs")
    numbers = [record["number"] for record in records if record["event"] == "record"]
    assert numbers == list(range(5000 - dropped)), "the newest are dropped, the oldest kept in order"
    assert records[-1]["event"] == "after"
    assert records.index(marks[0]) == len(numbers), "the mark stands where the gap is"


async def wait_until_written(handle: LogHandle) -> None:
    """Wait until nothing is queued."""
    async with asyncio.timeout(10):
        while handle.backlog:
            await asyncio.sleep(0.01)


async def test_reader_that_stops_and_goes_on(pipe: Pipe) -> None:
    """However often the reader stalls, what arrived and what the marks say add up to what was logged."""
    read, write = pipe
    handle = configure("json", fd=write, max_lines=200)
    parts: list[bytes] = []
    running = threading.Event()

    def read_in_fits() -> None:
        while data := os.read(read, 16_384):
            parts.append(data)
            running.wait(0.005)

    thread = threading.Thread(target=read_in_fits, name="test.fits")
    thread.start()
    await log_many(10_000)
    running.set()
    assert handle.close(10) == 0
    os.close(write)
    thread.join(10)
    records = [json.loads(line) for line in b"".join(parts).splitlines()]
    arrived = [record["number"] for record in records if record["event"] == "record"]
    marked = sum(record["lines"] for record in records if "dropped" in record["event"])
    assert arrived == sorted(set(arrived))
    assert marked == handle.dropped > 0
    assert len(arrived) + marked == 10_000


async def test_bytes_are_bounded_too(pipe: Pipe) -> None:
    """Long lines are held to a bound of bytes, so a blocked pipe cannot fill the memory."""
    _, write = pipe
    writer = LineWriter(write, lambda text, _count, _seconds: text.encode() + b"\n", max_bytes=100_000)
    for _ in range(1000):
        writer.put(b"x" * 8191 + b"\n")
    assert writer.backlog <= 12
    assert writer.dropped >= 988
    assert writer.close(0.05) > 0
    await asyncio.to_thread(os.read, pipe[0], 1 << 20)
    assert await asyncio.to_thread(empty_and_close, writer, pipe[0]) == 0


def empty_and_close(writer: LineWriter, fd: int) -> int:
    """Read beside `close` until it succeeds."""
    while writer.close(0.02):
        os.read(fd, 1 << 20)
    return writer.backlog


def test_close_has_a_deadline(pipe: Pipe) -> None:
    """`close` gives up in time when nobody reads, and says how many lines were not written."""
    read, write = pipe
    handle = configure("json", fd=write)
    for number in range(3000):
        get_logger("connmgr.test").info("record", number=number)
    began = time.monotonic()
    left = handle.close(0.2)
    assert 0.15 < time.monotonic() - began < 1.5
    assert 0 < left < 3000
    reader = Reader(read)
    assert handle.close(10) == 0
    os.close(write)
    assert len(reader.join()) == 3000


def test_non_blocking_pipe(pipe: Pipe) -> None:
    """A pipe that somebody made non-blocking loses nothing and does not make the writer spin."""
    read, write = pipe
    os.set_blocking(write, False)
    handle = configure("json", fd=write)
    for number in range(3000):
        get_logger("connmgr.test").info("record", number=number)
    used = time.process_time()
    assert handle.close(0.5) > 0
    assert time.process_time() - used < 0.2, "the writer spins"
    reader = Reader(read)
    assert handle.close(10) == 0
    os.close(write)
    assert [record["number"] for record in reader.join()] == list(range(3000))


def test_full_device(tmp_path: Path) -> None:
    """Lines that a full disk refuses are counted, and said once it takes lines again, on a line of its own."""
    full = os.open("/dev/full", os.O_WRONLY)
    handle = configure("json", fd=full)
    os.close(full)
    logger = get_logger("connmgr.test")
    for number in range(7):
        logger.info("lost", number=number)
    deadline = time.monotonic() + 5
    while handle.dropped < 7 and time.monotonic() < deadline:
        time.sleep(0.005)
    path = tmp_path / "log"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, handle._writer._fd)  # room again
    os.close(file)
    logger.info("back")
    assert handle.close(5) == 0
    told, back = [json.loads(line) for line in path.read_text().splitlines()]
    assert told["event"] == "7 log lines lost: cannot write to standard error: No space left on device"
    assert back["event"] == "back"


def test_threads_do_not_mix_lines(pipe: Pipe) -> None:
    """Records of many threads come whole, each thread's in its order."""
    read, write = pipe
    reader = Reader(read)
    handle = configure("json", fd=write, max_lines=100_000)

    def work(name: int) -> None:
        for number in range(500):
            get_logger("connmgr.test").info("record", thread=name, number=number)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert handle.close(10) == 0
    os.close(write)
    records = reader.join()
    for name in range(8):
        assert [record["number"] for record in records if record["thread"] == name] == list(range(500))


PROGRAM = """
import sys, time
from connmgr.logs import configure, get_logger
handle = configure("json")
for number in range(20_000):
    get_logger("connmgr.test").info("record", number=number)
print("logged", flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["", "handle.close(0.5)", "sys.stderr.close()", "raise ValueError('over')"])
def test_program_ends_although_standard_error_is_blocked(end: str) -> None:
    """A program whose standard error nobody reads logs on at full speed and ends within its deadline."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(end=end)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"logged\n"
            assert process.wait(8) == (1 if "raise" in end else 0)
        finally:
            process.kill()


def test_program_loses_nothing_at_its_end() -> None:
    """What was logged last is written at exit without a call of `close`, the error that ended the program included."""
    done = subprocess.run(
        [sys.executable, "-c", "sys = __import__('sys')\n" + PROGRAM.format(end="raise ValueError('over')")],
        capture_output=True,
        timeout=20,
        check=False,
    )
    records = [json.loads(line) for line in done.stderr.splitlines()]
    dropped = sum(record.get("lines", 0) for record in records)
    assert len([record for record in records if record["event"] == "record"]) + dropped == 20_000
    assert records[-1]["level"] == "critical"
    assert records[-1]["exception"].endswith("ValueError: over")
    assert done.returncode == 1


def test_the_error_that_ends_the_program_has_room_of_its_own(pipe: Pipe) -> None:
    """While the pipe is blocked and lines are dropped, a critical one is kept, at its place behind the gap."""
    read, write = pipe
    handle = configure("json", fd=write, max_lines=50)
    logger = get_logger("connmgr.test")
    for number in range(5000):
        logger.info("record", number=number)
    assert handle.dropped > 0
    dropped = handle.dropped
    logger.critical("the end is near")
    logger.info("this one is dropped again")
    assert handle.dropped >= dropped
    reader = Reader(read)
    assert handle.close(10) == 0
    os.close(write)
    records = reader.join()
    events = [record["event"] for record in records]
    assert events.count("the end is near") == 1
    assert records[events.index("the end is near") - 1].get("lines")


def test_stopped_reader_process() -> None:
    """With the process that reads the log stopped (SIGSTOP) the program goes on; after SIGCONT the log does too."""
    read, write = os.pipe()
    reader = subprocess.Popen(["/bin/cat"], stdin=read, stdout=subprocess.PIPE)
    os.close(read)
    try:
        handle = configure("json", fd=write, max_lines=500)
        os.close(write)
        reader.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        for number in range(5000):
            get_logger("connmgr.test").info("record", number=number)
        assert time.monotonic() - began < 5
        assert handle.dropped > 0
        reader.send_signal(signal.SIGCONT)
        assert reader.stdout is not None
        output = Reader(reader.stdout.fileno())
        assert handle.close(10) == 0
        records = output.join()
        marked = sum(record.get("lines", 0) for record in records)
        assert len([record for record in records if record["event"] == "record"]) + marked == 5000
    finally:
        reader.kill()
        reader.communicate()
