"""What the daemon hands to plugins: the manager, a logger, and the paths they may write to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from connmgr.logs import Logger, get_logger

if TYPE_CHECKING:
    from connmgr.connection import BaseConnection


class Manager(Protocol):
    """What a plugin may ask of the connection manager."""

    @property
    def connections(self) -> Mapping[str, "BaseConnection[Any]"]:
        """Every connection by id."""

    def register_connection_type(self, name: str, connection_class: "type[BaseConnection[Any]]") -> None:
        """Make `name` usable as `"type"` in connections.json."""

    def get_connection(self, connection_id: str) -> "BaseConnection[Any] | None":
        """The connection of that id, or None."""

    def on_event(self, event: str, callback: Callable[["BaseConnection[Any]"], Any]) -> Callable[[], None]:
        """Call back on every event of that name; the result unsubscribes."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are. `state_dir` is the only place a plugin may write to, in a folder of its own."""

    config_file: Path | None = None
    state_dir: Path | None = None


class ModuleManager:
    """Looks modules up by name, the way plugins written for an embedding application expect."""

    def __init__(self, modules: Mapping[str, Any]) -> None:
        self._modules = modules

    def get_module(self, name: str) -> Any:  # noqa: ANN401 - a lookup by name has no better type
        """The module of that name, or None."""
        return self._modules.get(name)


@dataclass(frozen=True, slots=True)
class AppContext:
    """Handed to every connection and to a plugin module's `initialize(app_context)`."""

    manager: Manager
    logger: Logger = field(default_factory=lambda: get_logger("connmgr"))
    paths: Paths = field(default_factory=Paths)

    @property
    def module_manager(self) -> ModuleManager:
        """Gives the manager as `get_module('connection_manager')`."""
        return ModuleManager({"connection_manager": self.manager})
