"""connmgr status: what is up, since when, how good, and what happens next."""

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connmgr.cli.client import (
    EXIT_NO_INPUT,
    Client,
    JsonOption,
    NoDaemon,
    Refused,
    SocketOption,
    ask,
    connection_ids,
    fail,
    print_json,
)
from connmgr.cli.words import COLOURS, MARKS, duration, following, milliseconds, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table
    from rich.text import Text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    connection_id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Only this connection.", autocompletion=connection_ids, show_default=False),
    ] = None,
    socket: SocketOption = None,
    *,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep the table up to date until Ctrl-C.")] = False,
) -> None:
    """Show every connection: status, since when, how good the link is, the next attempt, the last error."""
    if watch:
        if as_json:
            raise typer.BadParameter(
                "a live table is no JSON; use `connmgr events --follow --json`", param_hint="--watch"
            )
        _watch(socket, connection_id)
        return
    found = _chosen(ask(socket, "GET", "/api/v1/connections"), connection_id)
    if as_json:
        print_json(found)
        return
    from rich.console import Console

    console = Console()
    console.print(table(found["connections"], console.width))


NARROW, WIDE = 100, 120  # columns: below, the type is left out; from there on, the figures of the link are shown too


def table(
    connections: "Mapping[str, dict[str, Any]]",
    width: int,
    *,
    title: str | None = None,
    devices: "Mapping[str, Text] | None" = None,
) -> "Table":
    """The connections as a table `width` wide, with a column about the device behind each if `devices` is given."""
    wide, narrow = width >= WIDE, width < NARROW
    from rich.table import Table
    from rich.text import Text

    found = Table(title=title, box=None, header_style="bold", pad_edge=False, title_justify="left", expand=False)
    found.add_column("connection", no_wrap=True)
    if devices is not None:
        found.add_column("device", no_wrap=True, min_width=8)
    if not narrow:
        found.add_column("type", no_wrap=True)
    found.add_column("status", no_wrap=True, min_width=14)  # wide enough for all: a live table must not jump
    found.add_column("since", justify="right", no_wrap=True, min_width=6)
    found.add_column("next", no_wrap=True, min_width=12)
    if wide:
        found.add_column("round trip", justify="right", no_wrap=True)
        found.add_column("loss", justify="right", no_wrap=True)
        found.add_column("flaps/h", justify="right", no_wrap=True)
    found.add_column(Text("last error", no_wrap=True, overflow="ellipsis"))  # the one column that gives way
    for name, connection in connections.items():
        state = connection["status"]
        quality = connection["quality"] or {}
        loss = quality.get("loss")
        figures = [
            Text(milliseconds(quality.get("rtt_p50"))),
            Text("" if loss is None else f"{loss:.0%}"),
            Text(str(quality.get("flaps_per_hour") or "")),
        ]
        found.add_row(
            Text(name, style="" if connection["enabled"] else "bright_black"),
            *(() if devices is None else (devices.get(name, Text()),)),
            *(() if narrow else (Text(connection["connection_type"], style="bright_black"),)),
            Text(f"{MARKS[state]} {state}", style=COLOURS[state]),
            Text(duration(time.time() - connection["since"])),
            Text(following(connection)),
            *(figures if wide else ()),
            one_line_cell("" if state == "connected" else connection["last_error"]),
        )
    return found


def one_line_cell(text: str | None) -> "Text":
    """A cell that is cut, not wrapped, when its column (which may shrink, unlike a `no_wrap` one) is too narrow."""
    from rich.text import Text

    return Text(plain(text or ""), style="bright_black", no_wrap=True, overflow="ellipsis")


def _chosen(found: dict[str, Any], connection_id: str | None) -> dict[str, Any]:
    if connection_id is None:
        return found
    if connection_id not in found["connections"]:
        raise fail(f"there is no connection {plain(connection_id)!r}", EXIT_NO_INPUT)
    return {"node": found["node"], "connections": {connection_id: found["connections"][connection_id]}}


def _watch(socket: Path | None, connection_id: str | None) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        raise typer.BadParameter("it needs a terminal; use `connmgr events --follow`", param_hint="--watch")
    client = Client(socket)
    _chosen(ask(socket, "GET", "/api/v1/connections"), connection_id)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the terminal is put right at the end
    try:
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while True:
                try:
                    found = _chosen(client.get("/api/v1/connections"), connection_id)
                    title = f"{found['node']}  {time.strftime('%H:%M:%S')}"
                    live.update(table(found["connections"], console.width, title=title), refresh=True)
                except (NoDaemon, Refused) as error:
                    live.update(Text(str(error), style="red"), refresh=True)
                time.sleep(1)
    except KeyboardInterrupt:
        return
