"""connmgr schema: the JSON Schema of connections.json, for editors."""

from typing import Annotated

import typer

from connmgr.cli.check import PluginsOption, manager_with
from connmgr.cli.client import print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)


def schema(
    plugins: PluginsOption = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only these types; may be repeated.")] = None,
) -> None:
    """Print the JSON Schema of connections.json with every installed plugin's section."""
    from connmgr.config import schema as make_schema

    manager = manager_with(plugins)
    types = {}
    for name in type_ or manager.registry.names():
        info = manager.type_info(name)
        if info is None or info.unavailable is not None:
            typer.secho(info.unavailable if info else f"there is no type {name!r}", fg="yellow", err=True)
        else:
            types[name] = info
    print_json(make_schema(types))
