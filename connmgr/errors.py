"""Which failures mean what: the type of an exception says what happens next.

`TransientError` is retried, `PermanentError` suspends the connection at once, `RefusedError` concerns one request and
leaves the link alone. Operating-system errors, timeouts and ends of stream count as transient, because networks fail
that way; every other exception is a bug of the plugin: retried too, but logged with its traceback and counted apart.
"""

import math
import os
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

REASON_LIMIT = 500  # characters of one reason: it stands in tables, log lines and answers


class ConnmgrError(Exception):
    """Root of everything connmgr raises on purpose."""


class TransientError(ConnmgrError):
    """It may work next time: the owner disconnects, backs off and tries again."""


class RetryAfter(TransientError):
    """Transient, and the device says when to come back.

    Args:
        seconds: the pause before the next attempt, in place of the backoff's own; 0 to 86,400.
        message: why.

    Raises:
        ValueError: `seconds` is not a number.
    """

    def __init__(self, seconds: float, message: str = "the device asked for a pause") -> None:
        super().__init__(message)
        if math.isnan(seconds):
            raise ValueError("cannot retry after NaN seconds")
        self.seconds = min(max(float(seconds), 0.0), 86_400.0)


class NotConnectedError(TransientError):
    """The link is down right now; nothing was sent."""


class NoAnswerError(TransientError):
    """An exchange had no (complete) answer within its deadline. Whether the device acted on it is unknown."""


class GaveUpError(TransientError):
    """A call that retries used up its attempts."""


class PermanentError(ConnmgrError):
    """It will not work until somebody changes something: the connection is suspended at once."""


class AuthError(PermanentError):
    """The device refused our name, password or key."""


class RefusedError(ConnmgrError):
    """The device answered, completely, and the answer is no. The link is in order."""


class ContractError(ConnmgrError):
    """A plugin broke the contract of `BaseConnection`."""


class RegistrationError(ConnmgrError):
    """A connection type cannot be registered: claimed twice, not a `BaseConnection`, cannot be imported."""


class Kind(Enum):
    """What a failure asks of the owner."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed call, told for people and decided for the owner.

    Attributes:
        layer: which layer failed: "name", "tcp", "protocol", "login", "device" or "plugin".
        retry_after: seconds the device asked for, or None.
        details: the traceback without frame locals, for bugs only.
    """

    kind: Kind
    reason: str
    layer: str
    retry_after: float | None = None
    details: str | None = None


@contextmanager
def map_errors(what: str, mapping: Mapping[type[BaseException], type[ConnmgrError]]) -> Iterator[None]:
    """Translate a library's exceptions at the plugin's edge: `cannot <what>: <reason>`, with the cause kept.

    Args:
        what: the attempt in words with its endpoint, such as "connect tcp://10.0.0.4:102".
        mapping: the first type that matches decides; an exception of ours passes unchanged.
    """
    try:
        yield
    except ConnmgrError:
        raise
    except tuple(mapping) as error:
        target = next(ours for theirs, ours in mapping.items() if isinstance(error, theirs))
        raise target(f"cannot {what}: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """The exception in words, on one line, cut at `REASON_LIMIT`; survives a `__str__` that raises."""
    try:
        text = _text(error)[: 4 * REASON_LIMIT]
    except BaseException:  # noqa: BLE001 - a plugin's __str__ may raise anything; the failure must still be told
        text = "its text cannot be read"
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if isinstance(error, TimeoutError) and not text:
        text = "timed out"
    if not isinstance(error, ConnmgrError | OSError) or not text:
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= REASON_LIMIT else text[: REASON_LIMIT - 1] + "…"


def _text(error: BaseException) -> str:
    """The exception's text; of the system's own errors only the words: "connection refused", no "[Errno 111]"."""
    if not isinstance(error, OSError) or error.errno is None or error.strerror is None:
        return str(error)
    words = str(error.strerror)
    if words.startswith("Connect call failed"):  # asyncio's own, in place of the reason
        words = os.strerror(error.errno)
    if error.errno < 0 or words == os.strerror(error.errno):
        words = words[:1].lower() + words[1:]
    return f"{words}: {error.filename}" if error.filename is not None else words


def judge(error: BaseException) -> Failure:
    """Decide what an exception that left a plugin call means."""
    reason = describe(error)
    layer = _layer(error)
    if isinstance(error, PermanentError):
        return Failure(Kind.PERMANENT, reason, layer)
    if isinstance(error, RetryAfter):
        return Failure(Kind.TRANSIENT, reason, layer, retry_after=error.seconds)
    if isinstance(error, ContractError):
        return Failure(Kind.BUG, reason, "plugin")
    if isinstance(error, ConnmgrError | OSError | EOFError):
        return Failure(Kind.TRANSIENT, reason, layer)
    return Failure(Kind.BUG, reason, "plugin", details=_traceback(error))


def _layer(error: BaseException) -> str:
    seen: BaseException | None = error
    for _ in range(8):  # a cause may point at itself
        if isinstance(seen, AuthError):
            return "login"
        if isinstance(seen, socket.gaierror):
            return "name"
        if isinstance(seen, NoAnswerError | RefusedError | RetryAfter):
            return "device"
        if isinstance(seen, RegistrationError):
            return "plugin"
        if isinstance(seen, OSError):
            return "tcp"
        if seen is None:
            break
        seen = seen.__cause__
    return "protocol"


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=20))[-8000:]
    except BaseException:  # noqa: BLE001 - as in describe()
        return "the traceback cannot be rendered"
