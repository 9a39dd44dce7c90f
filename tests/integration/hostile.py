"""Run as a program: `hostile.py DEED`. A plugin does that deed beside an honest one; what became of both is printed."""

import asyncio
import faulthandler
import gc
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from connmgr import BaseConnection
from connmgr.config import Config, ConnectionConfig
from connmgr.manager import ConnectionManager
from connmgr.settings import GlobalSettings

KEPT: list[Any] = []
OUT = os.dup(1)  # some deeds close standard output


class Honest(BaseConnection):
    """Answers everything and remembers when it was asked."""

    asked: list[float] = []  # noqa: RUF012 - read by the program

    async def connect(self) -> bool:
        return True

    async def disconnect(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return True

    async def health_check(self) -> bool:
        self.asked.append(time.monotonic())
        return True


def recurse() -> None:
    recurse()


def leak() -> None:
    KEPT.append(asyncio.ensure_future(asyncio.sleep(1e9)))
    KEPT.append(os.open("/dev/null", os.O_RDONLY))
    threading.Thread(target=time.sleep, args=(0.5,)).start()


def shout() -> None:
    for _ in range(200):
        print("x" * 10_000)


def cancel_all() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


def wander() -> None:
    os.chdir("/")
    os.umask(0)


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


DEEDS: dict[str, Callable[[], Any]] = {
    "sys.exit": lambda: sys.exit(0),
    "cancel current task": cancel_all,
    "recursion": recurse,
    "memory": lambda: bytearray(10**15),
    "leak": leak,
    "close loop": lambda: asyncio.get_running_loop().close(),
    "set_event_loop": lambda: asyncio.set_event_loop(None),
    "asyncio.run": lambda: asyncio.run(asyncio.sleep(0)),
    "slow_callback_duration": lambda: setattr(asyncio.get_running_loop(), "slow_callback_duration", 0),
    "ignore SIGTERM": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "chdir, umask": wander,
    "logging.disable": lambda: logging.disable(logging.CRITICAL),
    "close stdout": sys.stdout.close,
    "gc.disable": gc.disable,
    "setrecursionlimit": lambda: sys.setrecursionlimit(10**9),
    "shout": shout,
    "never return": lambda: threading.Event().wait(),
    # What one process cannot survive, or survives only with a delay for all.
    "block": lambda: time.sleep(2),
    "spin": lambda: spin(2),
    "stop loop": lambda: asyncio.get_running_loop().stop(),
    "os._exit": lambda: os._exit(7),
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "patch asyncio.sleep": lambda: setattr(asyncio, "sleep", None),
}


def plugin(deed: Callable[[], Any], plain: bool) -> type[BaseConnection]:
    class Plain(Honest):
        def connect(self) -> bool:  # type: ignore[override]
            deed()
            return True

        def disconnect(self) -> bool:  # type: ignore[override]
            return True

        def health_check(self) -> bool:  # type: ignore[override]
            return True

    class Async(Honest):
        async def connect(self) -> bool:
            deed()
            await asyncio.sleep(0)
            return True

        async def health_check(self) -> bool:
            return True

    return Plain if plain else Async


def entry(name: str) -> ConnectionConfig:
    settings = GlobalSettings(health_check_interval=0.05, connection_timeout=0.3, reconnect_delay_initial=10)
    return ConnectionConfig(id=name, type=name, name=name, enabled=True, config={"host": name}, raw_config={},
                            settings=settings.supervision(), fingerprint=name)  # fmt: skip


async def main(deed: str, plain: bool) -> dict[str, Any]:
    async with ConnectionManager() as manager:
        manager.register_connection_type("honest", Honest)
        manager.register_connection_type("hostile", plugin(DEEDS[deed], plain))
        names = ("honest", "hostile")
        await manager.apply(Config(path=Path("x"), settings=GlobalSettings(), connections={n: entry(n) for n in names}))
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_later(1.5, done.set_result, None)
        await done
        asked = Honest.asked
        gaps = [later - at for at, later in pairwise(asked)]
        found = manager.snapshot()["connections"]
    return {name: [found[name]["status"], found[name]["last_error"]] for name in names} | {
        "checks": len(asked), "gap": max(gaps, default=99.0), "stuck": found["hostile"]["stuck"],
    }  # fmt: skip


if __name__ == "__main__":
    faulthandler.disable()
    os.chdir(tempfile.gettempdir())
    result = asyncio.run(main(sys.argv[1], plain=sys.argv[2] == "plain"))
    os.write(OUT, b"\n" + json.dumps(result).encode())
