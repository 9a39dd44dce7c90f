"""connmgr simulate: one simulated device in the foreground."""

import asyncio
import json
import signal
from typing import Annotated

import typer

from connmgr.cli.client import EXIT_NO_INPUT, fail


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)


def simulate(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="The connection type, such as s7.")],
    host: Annotated[str, typer.Option("--host", "-H", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        str | None, typer.Option("--port", "-p", help="Port, 0 for any free one; for a serial line a path.")
    ] = None,
) -> None:
    """Run a simulated device until Ctrl-C, and print the "config" of a connection to it."""
    from connmgr.registry import simulators

    entry = simulators().get(type_)
    if entry is None:
        known = ", ".join(sorted(simulators()))
        raise fail(f"there is no simulator for {type_!r}; there are: {known}", EXIT_NO_INPUT)
    number = int(port) if port is not None and port.isdigit() else port
    try:
        asyncio.run(_serve(type_, entry.load()(host, number)))
    except OSError as error:
        raise fail(f"cannot simulate {type_}: {error}; is the port taken? choose another --port", 1) from None


async def _serve(type_: str, simulator: object) -> None:
    from connmgr.testing import Simulator

    assert isinstance(simulator, Simulator)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with simulator:
        typer.echo(f"simulated {type_} device on {simulator.endpoint}; Ctrl-C ends it. In connections.json:")
        typer.echo(f'  "type": "{type_}", "config": {json.dumps(simulator.config, ensure_ascii=False)}')
        await stop.wait()
