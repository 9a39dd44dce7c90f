"""Talking to the daemon: HTTP over its unix socket, with the standard library alone so that commands start fast."""

import http.client
import json
import os
import socket
import stat
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from connmgr.cli.words import plain

EXIT_REFUSED, EXIT_NO_INPUT, EXIT_UNAVAILABLE, EXIT_CANNOT_CREATE, EXIT_CONFIG = 1, 66, 69, 73, 78  # sysexits.h
TIMEOUT = 40.0  # seconds; a long poll is held for up to 30

SocketOption = Annotated[
    Path | None,
    typer.Option("--socket", help="The daemon's control socket.", envvar="CONNMGR_SOCKET", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def default_socket() -> Path:
    """Where the daemon's socket is when nobody says otherwise."""
    runtime = os.environ.get("RUNTIME_DIRECTORY")
    if runtime:
        return Path(runtime.split(":")[0]) / "connmgr.sock"
    user = os.environ.get("XDG_RUNTIME_DIR")
    if user and Path(user).is_dir():
        return Path(user) / "connmgr.sock"
    return Path(f"/tmp/connmgr-{os.getuid()}/connmgr.sock")  # noqa: S108 - per user, and its folder is made private


def is_ours(folder: Path) -> bool:
    """Whether a folder, unless it is missing, is one and was made by us: in /tmp anybody can be first."""
    try:
        found = folder.lstat()
    except OSError:
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & stat.S_IWOTH


def find_socket(given: Path | None) -> Path:
    """The socket to talk to: the given one, else the default, else that of the system's service if it is there.

    Raises:
        NoDaemon: the default one may be somebody else's, who would see what we ask and make the answers up.
    """
    if given is None and (named := os.environ.get("CONNMGR_SOCKET")):
        given = Path(named)
    if given is not None:
        return given
    system = Path("/run/connmgr/connmgr.sock")
    default = default_socket()
    is_trusted = default.parent.parent != Path("/tmp") or is_ours(default.parent)  # noqa: S108 - that is why
    if not (is_trusted and default.exists()) and system.exists():
        return system
    if not is_trusted:
        raise NoDaemon(f"cannot talk to the daemon on {default}: somebody else made its folder; name the --socket")
    return default


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Refused(Exception):
    """The daemon answered with a problem."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail", ""))
        self.status = status
        self.problem = problem


class NoDaemon(Exception):
    """Nobody answers on the socket."""


class Client:
    """Asks the daemon."""

    def __init__(self, path: Path | None, timeout: float = TIMEOUT) -> None:
        self.path = find_socket(path)
        self._timeout = timeout

    def get(self, path: str, **query: str | float) -> Any:  # noqa: ANN401 - any JSON
        """GET, decoded."""
        return self.ask("GET", path, **query)

    def post(self, path: str, **query: str | float) -> Any:  # noqa: ANN401 - any JSON
        """POST, decoded."""
        return self.ask("POST", path, **query)

    def ask(self, method: str, path: str, **query: str | float) -> Any:  # noqa: ANN401 - any JSON
        """One request.

        Raises:
            Refused: the daemon answered with a problem.
            NoDaemon: nobody answers on the socket.
        """
        if query:
            path += "?" + "&".join(f"{key}={quote(str(value))}" for key, value in query.items())
        connection = _UnixConnection(self.path, self._timeout)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoDaemon(_why_silent(self.path, error)) from error
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise Refused(answer.status, body)
        return body


def _why_silent(path: Path, error: Exception) -> str:
    match error:
        case PermissionError():
            return f"cannot talk to the daemon on {path}: permission denied; join its group, or use sudo"
        case FileNotFoundError():
            reason = "there is no such socket"
        case ConnectionRefusedError():
            reason = "nobody listens there; it may have crashed"
        case TimeoutError():
            return f"the daemon on {path} does not answer; see its log"
        case _:
            reason = str(error)
    return f"no daemon answers on {path}: {reason}; start one with `connmgr run`, or name its --socket"


def path_of(connection_id: str) -> str:
    """Where the API has a connection, whatever its id looks like."""
    return f"/api/v1/connections/{quote(connection_id, safe='')}"


def fail(message: str, code: int) -> typer.Exit:
    """Say on standard error what went wrong; raise the result to exit."""
    typer.secho("\n".join(plain(line) for line in message.split("\n")), fg=typer.colors.RED, err=True)
    return typer.Exit(code)


def ask(socket: Path | None, method: str, path: str, **query: str | float) -> Any:  # noqa: ANN401 - any JSON
    """One request; a problem ends the program with the exit code that fits it."""
    try:
        return Client(socket).ask(method, path, **query)
    except NoDaemon as error:
        raise fail(str(error), EXIT_UNAVAILABLE) from None
    except Refused as error:
        codes = {http.client.NOT_FOUND: EXIT_NO_INPUT, http.client.UNPROCESSABLE_ENTITY: EXIT_CONFIG}
        raise fail(str(error), codes.get(error.status, EXIT_REFUSED)) from None


def print_json(document: Any) -> None:  # noqa: ANN401 - any JSON
    """One document on standard output."""
    typer.echo(json_text(document, indent=2))


def json_text(document: Any, indent: int | None = None) -> str:  # noqa: ANN401 - any JSON
    """As JSON that can be written and commands no terminal: readable, unless there is something odd in it."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return text if text.replace("\n", "").isprintable() else json.dumps(document, indent=indent)


def connection_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """For shell completion: the ids that begin so; none when no daemon answers."""
    try:
        found = Client(ctx.params.get("socket"), timeout=2).get("/api/v1/connections")
    except (NoDaemon, Refused):
        return []
    return [name for name in found["connections"] if name.startswith(incomplete)]


IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A connection's id.", autocompletion=connection_ids)]
