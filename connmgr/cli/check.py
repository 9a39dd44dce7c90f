"""connmgr check: all errors of a configuration, without touching the network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connmgr.cli.client import EXIT_CONFIG, fail

if TYPE_CHECKING:
    from connmgr.manager import ConnectionManager

PluginsOption = Annotated[
    list[Path] | None, typer.Option("--plugins", metavar="DIR", help="A folder with plugin files; may be repeated.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration.")] = Path("config/connections.json"),
    plugins: PluginsOption = None,
) -> None:
    """Report every error of a configuration at once, each with its place and remedy. Touches no network."""
    from connmgr.config import ConfigProblems

    manager = manager_with(plugins)
    try:
        config = manager.read(file, strict=True)
    except ConfigProblems as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        count = len(error.problems)
        raise fail(f"{file}: {count} {'error' if count == 1 else 'errors'}", EXIT_CONFIG) from None
    for problem in config.warnings:
        typer.secho(f"{problem}", fg=typer.colors.YELLOW, err=True)
    enabled = sum(connection.enabled for connection in config.connections.values())
    typer.secho(f"{file}: good, {_count(len(config.connections))}, {enabled} enabled", fg=typer.colors.GREEN)


def _count(number: int) -> str:
    return f"{number} connection{'' if number == 1 else 's'}"


def manager_with(plugins: list[Path] | None) -> "ConnectionManager":
    """A manager that knows the types, and owns no connection."""
    from connmgr.errors import RegistrationError
    from connmgr.manager import ConnectionManager

    manager = ConnectionManager()
    for folder in plugins or ():
        try:
            manager.add_plugin_folder(folder)
        except RegistrationError as error:
            raise fail(str(error), EXIT_CONFIG) from None
    return manager
