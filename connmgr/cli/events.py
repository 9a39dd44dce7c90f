"""connmgr events: transitions as they happen."""

import time
from typing import Annotated, Any

import typer

from connmgr.cli.client import Client, NoDaemon, SocketOption, ask, json_text
from connmgr.cli.words import COLOURS, clock, plain


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(events)


def events(
    socket: SocketOption = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show what happened, and with --follow what happens."""
    found = ask(socket, "GET", "/api/v1/events")
    try:
        while True:
            for event in found["events"]:
                _print(event, as_json=as_json)
            if not found["events"] and not follow:
                return
            wait = 25 if follow else 0
            found = _next(socket, found, wait)
    except KeyboardInterrupt:
        return


def _next(socket: Any, found: dict[str, Any], wait: float) -> dict[str, Any]:  # noqa: ANN401 - a path or None
    """The events after `found`; a daemon that is away is waited for."""
    told = False
    while True:
        try:
            answer: dict[str, Any] = Client(socket).get(
                "/api/v1/events", after=found["seq"], wait=wait, boot_id=found["boot_id"]
            )
        except NoDaemon as error:
            if not told:
                typer.secho(str(error), fg=typer.colors.RED, err=True)
                told = True
            time.sleep(1)
            continue
        if answer["boot_id"] != found["boot_id"]:
            typer.secho("the daemon was restarted", fg=typer.colors.YELLOW, err=True)
        return answer


def _print(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_text(event))
        return
    reason = f"  {plain(event['reason'])}" if event["reason"] else ""
    name = typer.style(f"{event['event']:<20}", fg=COLOURS.get(event["new"]))
    typer.echo(f"{clock(event['at'])}  {event['connection_id']:<20}  {name}{reason}")
