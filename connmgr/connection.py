"""The contract of a plugin: subclass `BaseConnection` and connmgr keeps the connection alive."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Generic, TypedDict, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import TypeVar

from connmgr.link import Exchange, Link
from connmgr.logs import Logger, get_logger
from connmgr.states import ConnectionStatus

OptionsT_co = TypeVar("OptionsT_co", bound=BaseModel | None, default=BaseModel | None, covariant=True)


class ConnectionStats(TypedDict):
    """Counters of one connection since it was created. `last_activity` is Unix seconds, or None."""

    packets_sent: int
    packets_received: int
    bytes_sent: int
    bytes_received: int
    errors: int
    last_activity: float | None


class StatusReport(TypedDict):
    """What `get_status()` returns. `type` is the class's name; times are Unix seconds."""

    connection_id: str
    type: str
    status: str
    connected_at: float | None
    last_error: str | None
    reconnect_attempts: int
    stats: ConnectionStats


class BaseConnection(ABC, Generic[OptionsT_co]):
    """One connection to one device, without any reconnecting of its own: the supervisor does that.

    The order of calls is the contract:

    1. The object is constructed without side effects: no socket, no file, no thread.
    2. `connect` opens the link. It returns True, or raises; False is a failure without a reason.
    3. Between `connect` and `disconnect` come any number of exchanges and `health_check`s.
    4. `disconnect` is called exactly once for every `connect` that was started, also for one that failed, was
       cancelled or ran out of time; it has to cope with a half-open link.
    5. Never are two of the four methods called at once, and none after `disconnect` until the next `connect`.
    6. The next session uses the same object, starting again at 2.

    The four methods may be `async` or plain. Plain ones may block: they run in a thread of this connection's own. Every
    call has a deadline; an `async` one is cancelled at it, a plain one is left behind, and the connection waits for it.

    Exceptions say what happens next, see `connmgr.errors`. A plugin may assign `status`, `connected_at`, `last_error`,
    `reconnect_attempts` and count in `stats`; the supervisor's word on the first four is final.

    A class that declares its options as a pydantic model, `class Scale(BaseConnection[ScaleOptions])`, gets them
    validated, documented and completed by editors, as `self.options`.
    """

    options_model: ClassVar[type[BaseModel] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            if isinstance(origin := get_origin(base), type) and issubclass(origin, BaseConnection):
                (argument,) = get_args(base)
                if isinstance(argument, type) and issubclass(argument, BaseModel):
                    cls.options_model = argument

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:  # noqa: ANN401 - an embedding application may bring its own context
        """Remember the configuration; open nothing.

        Args:
            connection_id: the key in connections.json.
            config: the raw "config" object, secrets resolved.
            app_context: an `AppContext`.

        Raises:
            pydantic.ValidationError: the options model refuses `config`.
        """
        self.connection_id = connection_id
        self.config = config
        self.app_context = app_context
        self.last_error: str | None = None
        self.stats = ConnectionStats(
            packets_sent=0, packets_received=0, bytes_sent=0, bytes_received=0, errors=0, last_activity=None
        )
        self.__link = Link(connection_id)
        self.__options: Any = None
        if self.options_model is not None:
            # auto_reconnect stands in "config" but is the supervisor's
            own = {key: value for key, value in config.items() if key != "auto_reconnect"}
            self.__options = self.options_model.model_validate(own)

    @abstractmethod
    def connect(self) -> bool | Awaitable[bool]:
        """Open the link and prove that the device is there.

        Returns:
            True. False means failed, without a reason: raise instead.
        """

    @abstractmethod
    def disconnect(self) -> bool | Awaitable[bool]:
        """Close whatever is open, also after a `connect` that failed half-way. True when all is closed."""

    @abstractmethod
    def is_connected(self) -> bool:
        """Whether the link looks open from here: a cheap look, no traffic. The supervisor does not rely on it."""

    @abstractmethod
    def health_check(self) -> bool | Awaitable[bool]:
        """Ask the device something small and check the answer. False, or an exception, means the link is lost."""

    # --- offered to plugins

    @property
    def options(self) -> OptionsT_co:
        """The validated configuration; None for a class without an options model."""
        return self.__options  # type: ignore[no-any-return]  # validated by the class's own model in __init__

    @property
    def logger(self) -> Logger:
        """A logger that names this connection."""
        return get_logger("connmgr.plugin", connection=self.connection_id)

    def exchange(self, timeout: float) -> Exchange:
        """Hold the link for one request and its answer: `async with self.exchange(2.0):` (plain methods: `with`).

        Exchanges of one link wait for each other. Left by an exception or a cancellation, other than `RefusedError`,
        the link counts as broken and is reopened, because the late answer would be taken for the next one's.

        Args:
            timeout: seconds to wait for the link, and as many again for the exchange itself. In a plain method the
                latter is not enforced: give the socket its own.

        Raises:
            NotConnectedError: the link is down, broken, or not yet connected; nothing was sent.
            NoAnswerError: no answer within `timeout`.
            TransientError: other exchanges held the link for all of `timeout`; nothing was sent.
        """
        return Exchange(self.__link, timeout)

    def connection_lost(self, reason: str) -> None:
        """Tell that the link is gone, so that it is reopened now and not at the next health check.

        May be called from any thread and at any time; what an earlier session says is ignored.
        """
        self.__link.lost(self.__link.calling_session(), reason)

    async def wait_until_connected(self, timeout: float) -> None:
        """Return as soon as the link is up.

        Raises:
            NotConnectedError: it was down for all of `timeout` seconds.
        """
        await self.__link.wait_connected(timeout)

    def update_stats(
        self,
        *,
        packets_sent: int = 0,
        packets_received: int = 0,
        bytes_sent: int = 0,
        bytes_received: int = 0,
        errors: int = 0,
    ) -> None:
        """Count traffic. Anything received proves that the device lives, so that a health check may be skipped."""
        stats = self.stats
        stats["packets_sent"] += packets_sent
        stats["packets_received"] += packets_received
        stats["bytes_sent"] += bytes_sent
        stats["bytes_received"] += bytes_received
        stats["errors"] += errors
        stats["last_activity"] = time.time()
        if packets_received or bytes_received:
            self.__link.saw_traffic()

    def get_status(self) -> StatusReport:
        """The connection in figures."""
        stats = self.stats
        return {
            "connection_id": self.connection_id,
            "type": type(self).__name__,
            "status": self.status.value,
            "connected_at": self.connected_at,
            "last_error": self.last_error,
            "reconnect_attempts": self.reconnect_attempts,
            "stats": {
                "packets_sent": stats["packets_sent"],
                "packets_received": stats["packets_received"],
                "bytes_sent": stats["bytes_sent"],
                "bytes_received": stats["bytes_received"],
                "errors": stats["errors"],
                "last_activity": stats["last_activity"],
            },
        }

    # --- assigned by plugins, decided by the supervisor

    @property
    def status(self) -> ConnectionStatus:
        """The supervisor's word; the plugin itself, and anybody without a supervisor, sees what the plugin assigned."""
        link = self.__link
        if link.status is None or link.is_inside():
            return link.assigned_status
        return link.status

    @status.setter
    def status(self, value: ConnectionStatus) -> None:
        self.__link.assigned_status = value

    @property
    def connected_at(self) -> float | None:
        """Since when the link is up, in Unix seconds; None while it is down."""
        link = self.__link
        return link.assigned_at if link.status is None else link.connected_at

    @connected_at.setter
    def connected_at(self, value: float | None) -> None:
        self.__link.assigned_at = value

    @property
    def reconnect_attempts(self) -> int:
        """Failed attempts since the link was last stable."""
        link = self.__link
        return link.assigned_attempts if link.status is None else link.attempts

    @reconnect_attempts.setter
    def reconnect_attempts(self, value: int) -> None:
        self.__link.assigned_attempts = value


def link_of(connection: BaseConnection[Any]) -> Link:
    """The link behind a connection, for its supervisor and the test kit.

    Raises:
        AttributeError: the class did not call `super().__init__()`.
    """
    link: Link = connection._BaseConnection__link  # type: ignore[attr-defined]  # noqa: SLF001 - name-mangled so that no subclass can collide with it
    return link
