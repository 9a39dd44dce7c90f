"""Programs in processes of their own, which answer commands with JSON, one object a line.

`Child` is the side that starts one; `commands` and `answer` are the side of the program itself.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]
LONGEST_LINE = 1 << 25
PATIENCE = 300.0  # seconds for any answer


class Child:
    """`python -m <module> <arguments>`, killed at the end. An async context manager."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._command = [sys.executable, "-m", module, *map(str, arguments)]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, cwd=ROOT, limit=LONGEST_LINE
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def told(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next answer.

        Raises:
            EOFError: the program has ended; its traceback is on standard error.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(timeout):
            line = await self._process.stdout.readline()
        if not line:
            raise EOFError(f"{' '.join(self._command[1:])} has ended unexpectedly")
        found: dict[str, Any] = json.loads(line)
        return found

    async def ask(self, what: str, **values: object) -> dict[str, Any]:
        """Give a command and return its answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"what": what, **values}).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.told()

    async def kill(self) -> None:
        """End it the hard way, as a power cut would."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


async def commands() -> AsyncIterator[dict[str, Any]]:
    """The commands given to this program, until there will be no more."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield json.loads(line)


def answer(**values: object) -> None:
    """Answer a command."""
    print(json.dumps(values), flush=True)
