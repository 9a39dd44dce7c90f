"""connmgr reload: the diff, then the reload."""

from typing import Annotated

import typer

from connmgr.cli.client import JsonOption, SocketOption, ask, print_json

WORDS = {
    "added": "added",
    "removed": "removed",
    "changed": "replaced (its link is reopened)",
    "settings_only": "supervised differently (its link stays)",
    "name_only": "renamed (its link stays)",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reload)


def reload(
    socket: SocketOption = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Have the daemon read its configuration again. What did not change is not touched."""
    found = ask(socket, "POST", "/api/v1/reload", dry_run=int(dry_run))
    if as_json:
        print_json(found)
        return
    changes = found["changes"]
    for kind, words in WORDS.items():
        for connection_id in changes[kind]:
            typer.echo(f"{connection_id}: {'would be ' if dry_run else ''}{words}")
    if changes["limits_changed"]:
        typer.echo(f"dial limits: {'would be ' if dry_run else ''}changed")
    typer.echo(f"{len(changes['unchanged'])} untouched")
