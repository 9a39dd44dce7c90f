"""The simulated devices of the demo: which ones a configuration asks for, and their processes."""

import ipaddress
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from connmgr.cli.demo_children import Child

NOUNS = {
    "s7": "the PLC",
    "modbus": "the Modbus device",
    "serial": "the serial device",
    "tcp": "the TCP device",
    "http": "the web service",
}
READY = "Ctrl-C ends it"  # what `connmgr simulate` prints when it listens


@dataclass(slots=True)
class Device:
    """One simulated device and the connection that is pointed at it."""

    connection_id: str
    type: str
    endpoint: str
    child: Child

    @property
    def noun(self) -> str:
        """Such as `the PLC`."""
        return NOUNS.get(self.type, f"the {self.type} device")

    @property
    def is_cable(self) -> bool:
        """Whether it is at the end of a serial line; then it is a file that comes and goes."""
        return self.endpoint.startswith("/")

    @property
    def is_on(self) -> bool:
        """Whether it is there for the daemon."""
        return self.child.is_running and READY in self.child.output

    @property
    def condition(self) -> str:
        """`on`, `off`, `starting` or `frozen`."""
        if self.child.is_frozen:
            return "frozen"
        return "on" if self.is_on else "starting" if self.child.is_running else "off"

    def cannot_start(self) -> str:
        """Why it ended right after its start, and what to do about it."""
        said = self.child.last_words
        if "taken" not in said:
            return f"cannot simulate {self.noun} for {self.connection_id}: {said or 'it did not start in time'}"
        return (
            f"cannot simulate {self.noun} for {self.connection_id}: {self.endpoint} is taken;"
            " end what is there, perhaps another `connmgr demo`, or choose a configuration with other ports: -c FILE"
        )


def device_for(connection_id: str, type_: str, config: Mapping[str, Any], folder: Path) -> Device | None:
    """The simulated device that this connection would reach, not started; None when it leads off this machine."""
    where = _where(config)
    if where is None:
        return None
    host, port = where
    arguments = ["simulate", type_, "--host", host, "--port", port]
    is_path = port.startswith("/")
    # A frozen process only heeds SIGKILL; one at a pty removes its path when it is asked nicely, and is never frozen.
    child = Child(arguments, folder / f"{connection_id}.log", signal.SIGTERM if is_path else signal.SIGKILL)
    return Device(connection_id, type_, port if is_path else f"{host}:{port}", child)


def _where(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Host and port (or path) of the device that a connection's config leads to, if that is this machine."""
    if isinstance(url := config.get("base_url"), str):
        parts = urlsplit(url)
        return (parts.hostname, str(parts.port)) if parts.hostname and parts.port and _is_here(parts.hostname) else None
    port, host = config.get("port"), config.get("host", "127.0.0.1")
    if isinstance(port, str) and port.startswith("/"):
        return "127.0.0.1", port
    return (host, str(port)) if isinstance(port, int) and _is_here(host) else None


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
