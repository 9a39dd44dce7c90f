"""connmgr plugins: which connection types are installed, and what can be set; `connmgr plugins new` writes one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from connmgr.cli import new_plugin
from connmgr.cli.check import PluginsOption, manager_with
from connmgr.cli.client import EXIT_NO_INPUT, JsonOption, fail, print_json

if TYPE_CHECKING:
    from connmgr.manager import ConnectionManager


class _ShowUnlessNew(TyperGroup):
    """`connmgr plugins s7` shows a type although `plugins` has the sub-command `new`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own click is private
        if args[:1] not in (["new"], ["-h"], ["--help"]):
            args = ["show", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the command and its sub-command."""
    group = typer.Typer(cls=_ShowUnlessNew, help="Show the installed connection types; `plugins new` writes one.")
    group.command("show", hidden=True)(show)
    group.command("new")(new)
    app.add_typer(group, name="plugins", subcommand_metavar="[TYPE] [--json] | new NAME", no_args_is_help=False)


def installed_types(incomplete: str) -> list[str]:
    """For shell completion: the types, and the sub-command that stands in the same place."""
    from importlib.metadata import entry_points

    return [name for name in [*entry_points(group="connmgr.connections").names, "new"] if name.startswith(incomplete)]


def show(
    type_: Annotated[
        str | None,
        typer.Argument(metavar="TYPE", help="Only this one, with its options.", autocompletion=installed_types),
    ] = None,
    plugins: PluginsOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show the installed connection types; for one TYPE everything that can stand in its "config"."""
    manager = manager_with(plugins)
    names = manager.registry.names()
    if type_ is not None and type_ not in names:
        raise fail(f"there is no connection type {type_!r}; there are: {', '.join(names) or 'none'}", EXIT_NO_INPUT)
    found = {name: _described(manager, name) for name in ([type_] if type_ else names)}
    if as_json:
        print_json({"types": found})
    elif type_ is not None:
        _print_type(type_, found[type_])
    else:
        _print_types(found)


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new type: lower-case letters, digits, underscores.")],
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where to put the folder NAME.")] = Path(),
) -> None:
    """Write a new plugin as a folder of its own, with a simulated device and tests that pass at once."""
    taken = manager_with(None).registry
    try:
        folder = new_plugin.write(name, directory, taken={name: taken.origin(name) or "" for name in taken.names()})
    except new_plugin.CannotWrite as error:
        raise fail(str(error), 1) from None
    except OSError as error:
        raise fail(f"cannot write a plugin to {directory}: {error}; choose another --directory", 1) from None
    for line in new_plugin.next_steps(name, folder):
        typer.echo(line)


def _described(manager: "ConnectionManager", name: str) -> dict[str, Any]:
    from connmgr.errors import RegistrationError
    from connmgr.registry import simulators

    found: dict[str, Any] = {
        "origin": manager.registry.origin(name),
        "class": None,
        "description": None,
        "simulator": name in simulators(),
        "unavailable": None,
        "options": None,
    }
    try:
        cls = manager.registry.get(name)
    except RegistrationError as error:
        return found | {"unavailable": str(error)}
    if cls is None:
        return found
    text = (cls.__dict__.get("__doc__") or "").strip().splitlines()
    found |= {"class": f"{cls.__module__}.{cls.__qualname__}", "description": text[0] if text else None}
    if cls.options_model is not None:
        from connmgr.cli.plugin_options import options

        found["options"] = options(cls.options_model)
    return found


def _print_types(found: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("type", no_wrap=True, style="green")
    table.add_column("from", no_wrap=True, style="bright_black")
    table.add_column("simulator", no_wrap=True)
    table.add_column("what it is")
    for name, one in found.items():
        about = Text(one["unavailable"], style="red") if one["unavailable"] else Text(one["description"] or "")
        table.add_row(name, Text(one["origin"] or ""), "yes" if one["simulator"] else "", about)
    console = Console()
    console.print(table)
    console.print(
        "\n`connmgr plugins TYPE` shows what can be set, `connmgr plugins new NAME` writes a new one.", style="dim"
    )


def _print_type(name: str, one: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text.assemble((name, "bold green"), f"  {one['description'] or ''}"))
    if one["class"]:
        console.print(Text(f"from {one['origin']}, {one['class']}", style="bright_black"))
    if one["unavailable"]:
        console.print(Text(one["unavailable"], style="red"))
        return
    if one["options"] is None:
        console.print('It declares no options: whatever stands in its "config" is handed on as it is.')
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("key", no_wrap=True, style="green")
    table.add_column("kind")
    table.add_column("default")
    table.add_column("description", ratio=1)
    for option in one["options"]:
        default = Text("required", style="yellow") if option["required"] else Text(_shown(option["default"]))
        table.add_row(Text(option["key"]), Text(option["kind"]), default, Text(option["description"] or ""))
    console.print()
    console.print(table)
    if one["simulator"]:
        console.print(f"\n`connmgr simulate {name}` runs a device of this type.", style="dim")


def _shown(default: object) -> str:
    import json

    return "" if default is None else json.dumps(default, ensure_ascii=False)
