"""What every simulated device offers: start it, point a connection at it, take it away, bring it back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, ClassVar, Self


class Simulator(ABC):
    """One simulated device. Subclasses write `start`, `stop`, `config` and `endpoint`.

    Args:
        host: address to listen on.
        port: TCP port, or the path of a serial device; None takes `default_port`, 0 takes any free port.

    Attributes:
        port: what was asked for until the first `start`, then what was bound. It is kept over `stop` and `start`, so a
            device that comes back comes back where it was.
    """

    default_port: ClassVar[int | str]

    def __init__(self, host: str = "127.0.0.1", port: int | str | None = None) -> None:
        self.host = host
        self.port: int | str = self.default_port if port is None else port

    @abstractmethod
    async def start(self) -> None:
        """Listen. A client that dials after this has returned gets an answer.

        Subclasses store the port that was bound in `self.port`.

        Raises:
            OSError: the port is taken, or the path cannot be created.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Close the listener and every live client, and free the port; `start` works again. Harmless when stopped."""

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The "config" object of a connection to it, as it stands in connections.json. A new dict each time."""

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """Where it listens, for people: `127.0.0.1:1102`, `/run/user/1000/ttySIM0`, `http://127.0.0.1:8080`."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.stop()
