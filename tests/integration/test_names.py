"""Host names: looked up for each attempt anew, and a look-up that hangs concerns nobody else."""

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from connmgr import ConnectionManager, ConnectionStatus
from connmgr_tcp.simulator import TcpSimulator

REAL = socket.getaddrinfo


class Names:
    """Stands in for the resolver, the one part of the network that a test cannot have for real on loopback."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.address = "127.0.0.1"

    def __call__(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "slow.example":
            self.let_go.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host == "none.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return REAL(self.address if host == "moves.example" else host, port, *args, **kwargs)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    found = Names()
    monkeypatch.setattr(socket, "getaddrinfo", found)
    return found


def written(folder: Path, port: int, **hosts: str) -> Path:
    settings = {"connection_timeout": 0.5, "reconnect_delay_initial": 0.1, "reconnect_delay_max": 0.2}
    connections = {name: {"type": "tcp", "config": {"host": host, "port": port}} for name, host in hosts.items()}
    path = folder / "connections.json"
    path.write_text(json.dumps({"settings": settings, "connections": connections}))
    path.chmod(0o644)
    return path


async def reached(manager: ConnectionManager, name: str, status: ConnectionStatus) -> None:
    async with asyncio.timeout(5):
        while manager.connections[name].status is not status:
            await asyncio.sleep(0.01)


async def test_a_look_up_that_hangs(names: Names, tmp_path: Path) -> None:
    """It ends at the attempt's deadline; a connection beside it opens at once, and a name that is unknown says so."""
    async with TcpSimulator(port=0) as device, ConnectionManager() as manager:
        path = written(tmp_path, int(device.port), slow="slow.example", none="none.example", good="127.0.0.1")
        await manager.load(path)
        await reached(manager, "good", ConnectionStatus.CONNECTED)
        await reached(manager, "slow", ConnectionStatus.ERROR)
        await reached(manager, "none", ConnectionStatus.ERROR)
        assert "within 0.5 s" in (manager.connections["slow"].last_error or "")
        assert "name or service not known" in (manager.connections["none"].last_error or "")
        layers = {event["layer"] for event in manager.explain("none")["events"] if event["event"] == "error"}
        assert layers == {"name"}
        assert manager.connections["good"].status is ConnectionStatus.CONNECTED
        names.let_go.set()


async def test_an_address_that_changes(names: Names, tmp_path: Path) -> None:
    """Every attempt looks the name up anew: a device that comes back under another address is found."""
    names.address = "127.0.0.9"
    async with TcpSimulator(port=0) as device, ConnectionManager() as manager:
        await manager.load(written(tmp_path, int(device.port), moved="moves.example"))
        await reached(manager, "moved", ConnectionStatus.ERROR)
        names.address = "127.0.0.1"
        await reached(manager, "moved", ConnectionStatus.CONNECTED)
