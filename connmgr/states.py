"""The five statuses of a connection and the only ways between them. Pure data; the docs' diagram is drawn from it."""

from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType


class ConnectionStatus(Enum):
    """What a connection is doing, exactly one of five."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    ERROR = "error"
    SUSPENDED = "suspended"


_S = ConnectionStatus

TRANSITIONS: Mapping[tuple[ConnectionStatus, ConnectionStatus], tuple[str, str]] = MappingProxyType(
    {
        # (old, new): (event, what makes it happen)
        (_S.DISCONNECTED, _S.CONNECTING): ("connecting", "start, or connect"),
        (_S.DISCONNECTED, _S.SUSPENDED): ("suspended", "suspend"),
        (_S.CONNECTING, _S.CONNECTED): ("connected", "connect() succeeded"),
        (_S.CONNECTING, _S.ERROR): ("error", "connect() failed"),
        (_S.CONNECTING, _S.DISCONNECTED): ("disconnected", "disconnect, or stop"),
        (_S.CONNECTING, _S.SUSPENDED): ("suspended", "suspend"),
        (_S.CONNECTED, _S.ERROR): ("error", "health check failed, or link lost"),
        (_S.CONNECTED, _S.DISCONNECTED): ("disconnected", "disconnect, reconnect, or stop"),
        (_S.CONNECTED, _S.SUSPENDED): ("suspended", "suspend"),
        (_S.ERROR, _S.CONNECTING): ("connecting", "the backoff is over, or reconnect"),
        (_S.ERROR, _S.DISCONNECTED): ("disconnected", "disconnect, or stop"),
        (_S.ERROR, _S.SUSPENDED): ("suspended", "too many attempts, permanent error, or suspend"),
        (_S.SUSPENDED, _S.CONNECTING): ("resumed", "resume, or the probe"),
        (_S.SUSPENDED, _S.DISCONNECTED): ("disconnected", "disconnect, or stop"),
    }
)

HEALTH_CHECK_FAILED = "health_check_failed"  # the one event that is no transition
EVENTS = frozenset({event for event, _ in TRANSITIONS.values()} | {HEALTH_CHECK_FAILED})


class IllegalTransitionError(RuntimeError):
    """The program tried a way that is not in the table: a bug in the supervisor, never a user's mistake."""


def event_of(old: ConnectionStatus, new: ConnectionStatus) -> str:
    """Name of the event that this transition is.

    Raises:
        IllegalTransitionError: the table has no such way.
    """
    try:
        return TRANSITIONS[old, new][0]
    except KeyError:
        raise IllegalTransitionError(f"no way from {old.value} to {new.value}") from None


def outlook(status: ConnectionStatus, last_error: str | None, next_attempt_in: float | None) -> str:
    """The state of things and what happens next, in one sentence. `next_attempt_in` in seconds, None for never."""
    if status is ConnectionStatus.CONNECTED:
        return "it is connected"
    reason = f" ({last_error})" if last_error else ""
    if status is ConnectionStatus.CONNECTING:
        return f"it is connecting{reason}"
    word = "in error" if status is ConnectionStatus.ERROR else status.value
    if next_attempt_in is None:
        way_out = "resume" if status is ConnectionStatus.SUSPENDED else "connect"
        return f"it is {word}{reason} and stays so until it is asked to {way_out}"
    return f"it is {word}{reason}; next attempt in {next_attempt_in:.0f} s"


def diagram() -> str:
    """The table as a Mermaid state diagram, one line per transition, in the table's order."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {_S.DISCONNECTED.value}"
    for (old, new), (event, cause) in TRANSITIONS.items():
        yield f"    {old.value} --> {new.value}: {event} ({cause})"
