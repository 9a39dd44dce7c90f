"""What is measured of a process, and on which machine. Linux only."""

import asyncio
import ctypes
import gc
import math
import os
import platform
import resource
import threading
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path


def loop_named(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The factory of an event loop: `uvloop`, or `asyncio` for Python's own."""
    if name == "asyncio":
        return None
    import uvloop

    return uvloop.new_event_loop


def raise_file_limit() -> int:
    """Allow as many open files as the system lets us have, and return that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def memory() -> int:
    """Resident bytes of this process, after the garbage was collected and what is free was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return resident()


def resident() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - one of them is this look itself


def threads() -> int:
    """Python threads of this process."""
    return threading.active_count()


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; NaN without values."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else math.nan


def late(connection_id: str, interval: float, now: float) -> float:
    """Seconds since the nearest slot of that connection's health checks; negative when it is still to come."""
    phase = zlib.crc32(connection_id.encode()) / 2**32 * interval
    return (now - phase + interval / 2) % interval - interval / 2


def description() -> str:
    """Date and machine, in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    today = datetime.now(UTC).date()
    return f"{today}, {os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"
