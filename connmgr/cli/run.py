"""connmgr run: the daemon, in the foreground."""

import os
from pathlib import Path
from typing import Annotated

import typer

from connmgr.cli.client import EXIT_CANNOT_CREATE, default_socket, fail, is_ours


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    config: Annotated[Path, typer.Option("-c", "--config", help="The configuration.")] = Path(
        "config/connections.json"
    ),
    plugins: Annotated[
        list[Path] | None, typer.Option("--plugins", metavar="DIR", help="A folder with plugin files; may be repeated.")
    ] = None,
    socket: Annotated[
        Path | None, typer.Option("--socket", help="Where to put the control socket.", envvar="CONNMGR_SOCKET")
    ] = None,
    state_dir: Annotated[Path | None, typer.Option("--state-dir", help="Where to keep state.")] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="console|json", help="Default: console; json under systemd.")
    ] = None,
    log_level: Annotated[str, typer.Option("--log-level", metavar="debug|info|warning|error")] = "info",
) -> None:
    """Run the daemon in the foreground, until SIGTERM or Ctrl-C. SIGHUP reloads the configuration."""
    if log_format not in (None, "console", "json"):
        raise typer.BadParameter("choose console or json", param_hint="--log-format")
    if log_level.lower() not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter("choose debug, info, warning or error", param_hint="--log-level")
    if socket is None:
        socket = default_socket()
        _make_private(socket.parent)
    from connmgr.daemon import RunOptions
    from connmgr.daemon import run as run_daemon

    code = run_daemon(
        RunOptions(
            config=config,
            socket=socket,
            state_dir=state_dir or default_state_dir(),
            plugins=tuple(plugins or ()),
            log_format=log_format,
            log_level=log_level.upper(),
        )
    )
    raise typer.Exit(code)


def _make_private(folder: Path) -> None:
    """Make the socket's folder; one in /tmp that somebody else made in advance is not for us."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise fail(
            f"cannot make the folder of the control socket: {error}; choose another --socket", EXIT_CANNOT_CREATE
        ) from None
    if not folder.is_dir() or (folder.parent == Path("/tmp") and not is_ours(folder)):  # noqa: S108 - that is why
        raise fail(
            f"cannot put the control socket into {folder}: it is not ours; choose another --socket", EXIT_CANNOT_CREATE
        )


def default_state_dir() -> Path:
    """systemd's STATE_DIRECTORY, else the user's own."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "connmgr"
