"""connmgr demo: simulated devices, the daemon, and a live view of both, in one command."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connmgr.cli.client import EXIT_CONFIG, fail

if TYPE_CHECKING:
    from connmgr.cli.demo_devices import Device
    from connmgr.cli.demo_stage import Stage

LONGEST_FOLDER = 80  # characters; the path of a unix socket has 107 at most


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    config: Annotated[
        Path | None,
        typer.Option(
            "-c",
            "--config",
            help="The configuration. [default: config/connections.json, else our own]",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0.1, help="End after so many seconds.")] = None,
) -> None:
    """Watch connmgr hold connections to simulated devices, lose them and bring them back. Ctrl-C ends it."""
    with ExitStack() as stack:
        here = Path("config/connections.json")
        file = config or (here if here.is_file() else stack.enter_context(_packaged()))
        folder = stack.enter_context(_private_folder())
        _run(file, folder, seconds)


def _run(file: Path, folder: Path, seconds: float | None) -> None:
    from rich.console import Console

    from connmgr.cli.demo_children import Child
    from connmgr.cli.demo_script import play
    from connmgr.cli.demo_show import Lines, Page, summary
    from connmgr.cli.demo_stage import Curtain, DemoFailed, Stage

    devices = _devices(file, folder)
    socket = folder / "sock"
    daemon = Child(
        ["run", "-c", str(file), "--socket", str(socket), "--state-dir", str(folder / "state")], folder / "daemon.log"
    )
    console = Console()
    view = Page(console) if console.is_terminal else Lines()
    stage = Stage(devices, daemon, socket, view, seconds)
    _listen_to_signals(stage)
    try:
        with view:
            try:
                play(stage)
            except Curtain:
                stage.say("Ending the daemon, then the devices")
            finally:
                stage.close()
    except DemoFailed as error:
        raise fail(str(error), 1) from None
    typer.echo(summary(stage))


def _listen_to_signals(stage: "Stage") -> None:
    def ask(*_: object) -> None:
        stage.asked_to_end += 1

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask)


def _devices(file: Path, folder: Path) -> "list[Device]":
    """A simulated device for every enabled connection that leads to this machine and has a simulator."""
    from connmgr.cli.check import manager_with
    from connmgr.cli.demo_devices import device_for
    from connmgr.config import ConfigProblems
    from connmgr.registry import simulators

    try:
        config = manager_with(None).read(file)
    except ConfigProblems as error:
        raise fail(str(error), EXIT_CONFIG) from None
    known = simulators()
    found: dict[str, Device] = {}
    for connection in config.connections.values():
        if connection.enabled and connection.type in known:
            device = device_for(connection.id, connection.type, connection.config, folder)
            if device is not None:
                found.setdefault(device.endpoint, device)
    return list(found.values())


def _packaged() -> AbstractContextManager[Path]:
    return as_file(files("connmgr") / "demo_connections.json")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder for the socket, the state and the logs of the demo, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="connmgr-demo-"))
    if len(str(folder)) > LONGEST_FOLDER:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="connmgr-demo-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
