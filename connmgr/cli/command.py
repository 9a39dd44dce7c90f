"""connmgr connect, disconnect, suspend, resume, reconnect: a command to one connection."""

from collections.abc import Callable

import typer

from connmgr.cli.client import IdArgument, JsonOption, SocketOption, ask, path_of, print_json
from connmgr.cli.words import one_line

HELP = {
    "connect": "Connect now, whatever the connection was doing.",
    "disconnect": "Disconnect, and stay so until asked to connect.",
    "suspend": "Stop trying, and stay so until asked to resume.",
    "resume": "Try a suspended connection once; it stays suspended if that fails.",
    "reconnect": "Close the link and open it again, or try now if it is down.",
}


def register(app: typer.Typer) -> None:
    """Add the five commands."""
    for name, text in HELP.items():
        app.command(name, help=text)(_command(name))


def _command(name: str) -> Callable[..., None]:
    def command(connection_id: IdArgument, socket: SocketOption = None, *, as_json: JsonOption = False) -> None:
        found = ask(socket, "POST", f"{path_of(connection_id)}/{name}")
        if as_json:
            print_json(found)
        else:
            typer.echo(one_line(found))

    return command
