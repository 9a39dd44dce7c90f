"""The demo's clock and memory: what the script does happens here, is shown, and can be ended at any moment."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from connmgr.cli.client import Client, NoDaemon, Refused
from connmgr.cli.demo_children import Child
from connmgr.cli.demo_devices import Device

TICK = 0.1  # seconds
POLL = 0.2  # seconds between two looks at the daemon
KEPT = 50  # events to show
START_LIMIT = 30.0  # seconds for devices and the daemon to come up, on a slow machine


class Curtain(Exception):
    """Somebody asked for the end, or the time is up."""


class DemoFailed(Exception):
    """A device or the daemon could not be started; the text says which, why, and what to do."""


class View(Protocol):
    """How it is shown."""

    def headline(self, stage: "Stage") -> None:
        """There is a new headline."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Something happened to a connection."""

    def update(self, stage: "Stage") -> None:
        """Time went by."""


class Stage:
    """What the script can do, and what the view can show.

    Attributes:
        headline, detail: what is going on right now, and what to look for.
        connections: the daemon's newest answer, by id.
        events: the newest events, oldest first.
        lost, back: how often each connection was lost, and came back.
    """

    def __init__(self, devices: list[Device], daemon: Child, socket: Path, view: View, seconds: float | None) -> None:
        self.devices = devices
        self.socket = socket
        self.headline = self.detail = ""
        self.connections: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.lost: Counter[str] = Counter()
        self.back: Counter[str] = Counter()
        self.asked_to_end = 0
        self._daemon = daemon
        self._daemon_is_up = False
        self._client = Client(socket, timeout=2.0)
        self._view = view
        self._began = time.monotonic()
        self._seconds = seconds
        self._polled_at = 0.0
        self._seq = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def say(self, headline: str, detail: str = "") -> None:
        """Tell what happens now."""
        self.headline, self.detail = headline, detail
        self._view.headline(self)

    def status(self, connection_id: str) -> str:
        """The connection's status, as the daemon last told it."""
        return str(self.connections.get(connection_id, {}).get("status", ""))

    def command(self, connection_id: str, verb: str) -> None:
        """As `connmgr <verb> <id>` does."""
        with suppress(NoDaemon, Refused):
            self._client.post(f"/api/v1/connections/{connection_id}/{verb}")

    def open(self) -> None:
        """Start the devices, then the daemon.

        Raises:
            DemoFailed: one of them did not come up.
        """
        for device in self.devices:
            device.child.start()
        self.until(lambda: all(device.is_on for device in self.devices), START_LIMIT, self._check_devices)
        if late := next((device for device in self.devices if not device.is_on), None):
            raise DemoFailed(late.cannot_start())
        self._daemon.start()
        self.until(lambda: bool(self.connections), START_LIMIT)
        if not self.connections:
            raise DemoFailed(f"the daemon does not answer:\n{self._daemon.last_words}")

    def close(self) -> None:
        """End the daemon, then the devices. All of them are gone afterwards."""
        impatient = self.asked_to_end > 1
        self._daemon.end(0 if impatient else 10)
        for device in self.devices:
            device.child.ask_to_end()
        for device in self.devices:
            device.child.end(0 if impatient or self.asked_to_end > 1 else 3)
            path = Path(device.endpoint)
            if device.is_cable and path.is_symlink() and not path.exists() and device.child.exit_code not in (None, 1):
                path.unlink(missing_ok=True)  # it had to be killed

    def pause(self, seconds: float) -> None:
        """Let time go by."""
        self.until(lambda: False, seconds)

    def until(self, condition: Callable[[], bool], at_most: float, check: Callable[[], None] | None = None) -> None:
        """Let time go by until something is so, `at_most` for so many seconds."""
        end = time.monotonic() + at_most
        while time.monotonic() < end and not condition():
            self._tick()
            if check is not None:
                check()

    def _tick(self) -> None:
        time.sleep(TICK)
        if self.asked_to_end or (self._seconds is not None and self.elapsed >= self._seconds):
            raise Curtain
        if self._daemon.exit_code is not None:
            raise DemoFailed(f"the daemon has ended by itself:\n{self._daemon.last_words}")
        if self._daemon.is_running and time.monotonic() - self._polled_at >= POLL:
            self._polled_at = time.monotonic()
            with suppress(NoDaemon, Refused):
                self._look()
        self._view.update(self)

    def _check_devices(self) -> None:
        for device in self.devices:
            if device.child.exit_code is not None:
                raise DemoFailed(device.cannot_start())

    def _look(self) -> None:
        self.connections = self._client.get("/api/v1/connections")["connections"]
        answer = self._client.get("/api/v1/events", after=self._seq)
        self._seq = answer["seq"]
        for event in answer["events"]:
            self._count(event)
            self._view.event(event)
        self.events = [*self.events, *answer["events"]][-KEPT:]

    def _count(self, event: Mapping[str, Any]) -> None:
        name = event["connection_id"]
        if event["old"] == "connected" and event["new"] == "error":
            self.lost[name] += 1
        elif event["new"] == "connected" and self.back[name] < self.lost[name]:
            self.back[name] += 1
