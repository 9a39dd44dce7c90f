"""connmgr: keeps every connection to every device alive. What a plugin author and an embedding program import."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connmgr.config import ConfigProblems
    from connmgr.connection import BaseConnection
    from connmgr.context import AppContext
    from connmgr.errors import (
        AuthError,
        ConnmgrError,
        ContractError,
        GaveUpError,
        NoAnswerError,
        NotConnectedError,
        PermanentError,
        RefusedError,
        RegistrationError,
        RetryAfter,
        TransientError,
        map_errors,
    )
    from connmgr.fields import Host, Port, Seconds
    from connmgr.manager import ConnectionManager, NoSuchConnectionError
    from connmgr.states import ConnectionStatus

__version__ = "0.1.0"

__all__ = [
    "AppContext",
    "AuthError",
    "BaseConnection",
    "ConfigProblems",
    "ConnectionManager",
    "ConnectionStatus",
    "ConnmgrError",
    "ContractError",
    "GaveUpError",
    "Host",
    "NoAnswerError",
    "NoSuchConnectionError",
    "NotConnectedError",
    "PermanentError",
    "Port",
    "RefusedError",
    "RegistrationError",
    "RetryAfter",
    "Seconds",
    "TransientError",
    "map_errors",
]

_HOMES = {
    "AppContext": "context",
    "BaseConnection": "connection",
    "ConfigProblems": "config",
    "ConnectionManager": "manager",
    "ConnectionStatus": "states",
    "Host": "fields",
    "NoSuchConnectionError": "manager",
    "Port": "fields",
    "Seconds": "fields",
}


if not TYPE_CHECKING:  # else a misspelt name would pass for Any

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - each name has its own type, given above
        # Lazy, so that `connmgr --version` and shell completion do not pay for pydantic (see docs/performance.md).
        if name not in __all__:
            raise AttributeError(f"module 'connmgr' has no attribute {name!r}")
        return getattr(import_module(f"connmgr.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])  # for editors and the interactive prompt, which see no lazy names
