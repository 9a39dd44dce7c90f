"""Making connection objects, away from the event loop: a plugin's constructor may raise, block, or never return."""

from collections.abc import Iterable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from connmgr.calls import CallThread
from connmgr.config import ConnectionConfig
from connmgr.connection import BaseConnection, link_of
from connmgr.context import AppContext
from connmgr.errors import PermanentError, RegistrationError, describe
from connmgr.registry import Registry
from connmgr.secrets import redactor

DEADLINE = 10.0  # seconds for one constructor, which is to open nothing
SECOND_CHANCE = 0.1  # of that for one of a type of which another did not end: 100 of them must not hold up a start


class UnavailableConnection(BaseConnection):
    """Stands in for a connection whose plugin cannot be had, so that it is seen, and seen to be suspended."""

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: object, reason: str) -> None:
        super().__init__(connection_id, config, app_context)
        self._reason = reason

    async def connect(self) -> bool:
        """Refuse, for good."""
        raise PermanentError(self._reason) from RegistrationError(self._reason)

    async def disconnect(self) -> bool:
        """Nothing is open."""
        return True

    def is_connected(self) -> bool:
        """Never."""
        return False

    async def health_check(self) -> bool:
        """Never reached."""
        return False


def construct(
    configs: Iterable[ConnectionConfig], registry: Registry, app_context: AppContext
) -> dict[str, BaseConnection[Any]]:
    """One object for each configuration, by id. Blocks: call it in a thread.

    What cannot be constructed within `DEADLINE` is stood in for by an `UnavailableConnection`, and costs the others
    nothing but that time; the next ones of its type have `SECOND_CHANCE` of it.
    """
    made: dict[str, BaseConnection[Any]] = {}
    thread: CallThread | None = None
    slow = set[str]()
    for config in configs:
        if thread is None:
            thread = CallThread("connmgr.construct")
        deadline = DEADLINE * SECOND_CHANCE if config.type in slow else DEADLINE
        future = thread.submit(_construct, config, registry, app_context)
        try:
            made[config.id] = future.result(deadline)
        except FutureTimeoutError:
            reason = f"cannot construct {config.type}: its constructor did not end within {deadline:g} s"
            made[config.id] = UnavailableConnection(config.id, config.config, app_context, reason)
            thread.shutdown(wait=False)
            slow.add(config.type)
            thread = None  # that one is stuck; the next gets another
    if thread is not None:
        thread.shutdown(wait=True)
    return made


def _construct(config: ConnectionConfig, registry: Registry, app_context: AppContext) -> BaseConnection[Any]:
    try:
        connection_class = registry.get(config.type)
        if connection_class is None:
            raise RegistrationError(f"cannot use the connection type {config.type!r}: nobody brings it")
        connection = connection_class(config.id, config.config, app_context)
        link_of(connection)
    except RegistrationError as error:
        reason = str(error)
    except AttributeError as error:
        reason = f"cannot construct {config.type}: {describe(error)}; did it call super().__init__()?"
    except BaseException as error:  # noqa: BLE001 - a plugin's constructor may raise anything
        reason = f"cannot construct {config.type}: {describe(error)}"
    else:
        return connection
    return UnavailableConnection(config.id, config.config, app_context, redactor.scrub(reason))
