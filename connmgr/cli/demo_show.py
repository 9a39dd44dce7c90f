"""How the demo looks: a calm live page on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from connmgr.cli.demo_stage import Stage
from connmgr.cli.status import one_line_cell, table
from connmgr.cli.words import COLOURS, MARKS, clock, plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

REFRESH = 0.25  # seconds
DEVICE_COLOURS = {"on": "green", "off": "red", "starting": "cyan", "frozen": "blue"}


class Lines:
    """Without a terminal: one line for what the demo does, one for each event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put back."""

    def headline(self, stage: Stage) -> None:
        """Such as `12:00:03.1  ==> Taking the PLC away`."""
        print(f"{_now()}  ==> {stage.headline}", flush=True)

    def event(self, event: Mapping[str, Any]) -> None:
        """Such as `12:00:03.4  press_plc        error           connection refused`."""
        line = f"{clock(event['at'])}  {event['connection_id']:<20}  {event['event']:<19}  {event['reason'] or ''}"
        print(plain(line).rstrip(), flush=True)

    def update(self, stage: Stage) -> None:
        """Only events are told."""


class Page:
    """On a terminal: headline, connections and events, kept up to date on a screen of its own."""

    def __init__(self, console: "Console") -> None:
        from rich.live import Live

        self._console = console
        self._live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def headline(self, stage: Stage) -> None:
        """Show it at once."""
        self._show(stage)

    def event(self, event: Mapping[str, Any]) -> None:
        """Shown with the next update."""

    def update(self, stage: Stage) -> None:
        """Show how things are, a few times a second."""
        if time.monotonic() - self._shown_at >= REFRESH:
            self._show(stage)

    def _show(self, stage: Stage) -> None:
        self._shown_at = time.monotonic()
        self._live.update(page(stage, self._console.width, self._console.height), refresh=True)


def page(stage: Stage, width: int, height: int) -> "RenderableType":
    """The whole screen."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.text import Text

    minutes, seconds = divmod(int(stage.elapsed), 60)
    parts: list[RenderableType] = [
        Text.assemble(("connmgr demo", "bold"), (f"   {minutes}:{seconds:02}   Ctrl-C ends it", "bright_black")),
        Text(),
        Text(f"▸ {stage.headline}", style="bold cyan", overflow="ellipsis", no_wrap=True),
        Text(f"  {stage.detail}", style="bright_black", overflow="ellipsis", no_wrap=True),
        Text(),
        _connections(stage, width),
        Text(),
        Rule("events", align="left", style="bright_black"),
    ]
    used = len(parts) + 2 + max(len(stage.connections), len(stage.devices)) + 2
    parts.append(_events(stage, max(height - used, 0)))
    if stage.connections:
        hint = f"Look for yourself:  connmgr status --socket {stage.socket}"
        parts += [Text(), Text(hint, style="bright_black", overflow="ellipsis", no_wrap=True)]
    return Padding(Group(*parts), (1, 2, 0, 2))


def summary(stage: Stage) -> str:
    """How often each device was lost and came back, in one line."""
    told = [
        f"{device.connection_id} lost {stage.lost[device.connection_id]}, back {stage.back[device.connection_id]}"
        for device in stage.devices
    ]
    return f"After {stage.elapsed:.0f} s: {'; '.join(told) or 'no devices'}. Nothing is left running."


def _connections(stage: Stage, width: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    devices = {
        device.connection_id: Text(device.condition, style=DEVICE_COLOURS[device.condition]) for device in stage.devices
    }
    if stage.connections:
        return table(stage.connections, width - 4, devices=devices)
    found = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("connection", "device", "type"):
        found.add_column(heading, no_wrap=True)
    for device in stage.devices:
        found.add_row(device.connection_id, devices[device.connection_id], Text(device.type, style="bright_black"))
    return found


def _events(stage: Stage, most: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    found = Table(box=None, show_header=False, pad_edge=False)
    found.add_column(no_wrap=True, style="bright_black")
    found.add_column(no_wrap=True)
    found.add_column(no_wrap=True)
    found.add_column()
    for event in stage.events[-most:] if most else ():
        name = Text(f"{MARKS[event['new']]} {event['event'].replace('_', ' ')}", style=COLOURS[event["new"]])
        found.add_row(clock(event["at"]), Text(event["connection_id"]), name, one_line_cell(event["reason"]))
    return found


def _now() -> str:
    return f"{time.strftime('%H:%M:%S')}.{time.time_ns() // 100_000_000 % 10}"
