"""connmgr simulate: one simulated device in the foreground."""

import asyncio
import errno
import json
import signal
from importlib.metadata import entry_points
from typing import Annotated

import typer

from connmgr.cli.client import EXIT_NO_INPUT, fail


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)


def simulated_types(incomplete: str) -> list[str]:
    """For shell completion."""
    return [name for name in entry_points(group="connmgr.simulators").names if name.startswith(incomplete)]


def simulate(
    type_: Annotated[
        str,
        typer.Argument(metavar="TYPE", help="The connection type, such as s7.", autocompletion=simulated_types),
    ],
    host: Annotated[str, typer.Option("--host", "-H", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        str | None, typer.Option("--port", "-p", help="Port, 0 for any free one; for a serial line a path.")
    ] = None,
) -> None:
    """Run a simulated device until Ctrl-C, and print the "config" of a connection to it."""
    from connmgr.registry import simulators

    known = simulators()
    if type_ not in known:
        raise fail(
            f"there is no simulator for {type_!r}; there are: {', '.join(sorted(known)) or 'none'}", EXIT_NO_INPUT
        )
    number = int(port) if port is not None and port.isdecimal() else port
    try:
        asyncio.run(_serve(type_, known[type_].load()(host, number)))
    except OSError as error:
        reason = "the address is taken" if error.errno == errno.EADDRINUSE else str(error)
        raise fail(f"cannot simulate {type_} on {_where(host, port)}: {reason}; choose another --port", 1) from None
    except (ValueError, OverflowError) as error:
        raise fail(f"cannot simulate {type_} on {_where(host, port)}: {error}; choose another --port", 1) from None
    except ImportError as error:
        raise fail(f"cannot simulate {type_}: {error}; install or repair its plugin", 1) from None


def _where(host: str, port: str | None) -> str:
    return port if port is not None and port.startswith("/") else f"{host}:{port or 'its usual port'}"


async def _serve(type_: str, simulator: object) -> None:
    from connmgr.testing import Simulator

    assert isinstance(simulator, Simulator)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with simulator:
        typer.echo(f"simulated {type_} device on {simulator.endpoint}; Ctrl-C ends it. In connections.json:")
        typer.echo(f'  "type": "{type_}", "config": {json.dumps(simulator.config, ensure_ascii=False)}')
        await stop.wait()
