"""What the API may do: look at the manager, command it, and have the configuration read again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from connmgr.config import Diff
from connmgr.manager import ConnectionManager


@dataclass(slots=True)
class Control:
    """Handed to the API by the daemon.

    Attributes:
        reload: read the configuration again and, unless `dry_run`, go by it; raises ConfigProblems.
        ready: whether start-up is over.
        figures: the daemon's own figures for `GET /api/v1/status`.
    """

    manager: ConnectionManager
    reload: Callable[[bool], Awaitable[Diff]]
    ready: bool = False
    figures: Callable[[], dict[str, Any]] = field(default=dict)
