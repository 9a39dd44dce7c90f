"""A plugin, its simulator and a program as somebody outside would write them: `mypy --strict` is the test.

Nothing runs here. A `type: ignore` marks what has to be refused: mypy complains when it is not.
"""

import asyncio
from typing import assert_type

from pydantic import BaseModel

import connmgr.testing
from connmgr import (
    AppContext,
    AuthError,
    BaseConnection,
    ConfigProblems,
    ConnectionManager,
    ConnectionStatus,
    Host,
    Port,
    RefusedError,
    Seconds,
    TransientError,
    map_errors,
)
from connmgr.testing import Simulator, contract_tests


class ScaleOptions(BaseModel, frozen=True, extra="forbid"):
    """Where the scale is."""

    host: Host
    port: Port = 4001
    timeout: Seconds = 2.0


class Scale(BaseConnection[ScaleOptions]):
    """A weighing scale."""

    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> bool:
        """Open the link."""
        options = self.options
        assert_type(options, ScaleOptions)
        assert_type(options.host, str)
        assert_type(options.port, int)
        assert_type(options.timeout, float)
        with map_errors(f"connect {options.host}", {OSError: TransientError, PermissionError: AuthError}):
            self._streams = await asyncio.open_connection(options.host, options.port)
        self.logger.info("opened", host=options.host)
        return True

    async def disconnect(self) -> bool:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None
        return True

    def is_connected(self) -> bool:
        """Look at it."""
        return self._streams is not None and self.status is ConnectionStatus.CONNECTED

    async def health_check(self) -> bool:
        """Ask it."""
        return await self.weigh() >= 0

    async def weigh(self) -> float:
        """The weight in kg."""
        assert self._streams is not None
        async with self.exchange(self.options.timeout):
            self._streams[1].write(b"W\n")
            answer = await self._streams[0].readline()
        if answer.startswith(b"?"):
            raise RefusedError("cannot weigh: the scale is overloaded")
        self.update_stats(packets_sent=1, packets_received=1)
        return float(answer)


class Plain(BaseConnection):
    """Plain methods, no options model."""

    def connect(self) -> bool:
        """Block."""
        with self.exchange(2.0):
            self.stats["errors"] += 1
        self.connected_at = 1.0
        return True

    def disconnect(self) -> bool:
        """Block."""
        self.status = ConnectionStatus.DISCONNECTED
        return True

    def is_connected(self) -> bool:
        """Look."""
        return True

    def health_check(self) -> int:  # type: ignore[override]  # a contract of True or False
        """Ask."""
        return 1


class ScaleSimulator(Simulator):
    """A scale to talk to."""

    default_port = 4001

    async def start(self) -> None:
        """Listen."""

    async def stop(self) -> None:
        """End."""

    @property
    def config(self) -> dict[str, object]:
        """Where it is."""
        return {"host": self.host, "port": self.port}

    @property
    def endpoint(self) -> str:
        """Where it is, for people."""
        return f"{self.host}:{self.port}"


TestContract = contract_tests(Scale, ScaleSimulator)
TestTheWrongWayRound = contract_tests(ScaleSimulator, Scale)  # type: ignore[arg-type]


def initialize(app_context: AppContext) -> None:
    """What a plugin file may have."""
    app_context.manager.register_connection_type("scale", Scale)
    app_context.manager.register_connection_type("oops", ScaleSimulator)  # type: ignore[arg-type]  # no connection
    app_context.logger.info("here", state=str(app_context.paths.state_dir))


async def program() -> None:
    """An embedding program."""
    async with ConnectionManager() as manager:
        manager.register_connection_type("scale", Scale)
        unsubscribe = manager.on_event("error", lambda connection: print(connection.last_error))
        try:
            await manager.load("connections.json")
        except ConfigProblems as problems:
            print(problems)
        found = manager.get_connection("scale")
        assert isinstance(found, Scale)
        await found.wait_until_connected(timeout=30)
        assert_type(await found.weigh(), float)
        assert_type(found.get_status()["reconnect_attempts"], int)
        assert_type(found.get_status()["stats"]["last_activity"], float | None)
        unsubscribe()


# A misspelt name must not pass as Any.
connmgr.BaseConection  # type: ignore[attr-defined]  # noqa: B018
connmgr.testing.FaultProxi  # type: ignore[attr-defined]  # noqa: B018
