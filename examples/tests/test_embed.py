"""The example program runs, says what it should, and ends; the configuration and the README beside it are right."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connmgr import ConnectionManager
from connmgr_tcp.simulator import TcpSimulator

EXAMPLES = Path(__file__).parents[1]


def configuration(port: int) -> str:
    document = json.loads((EXAMPLES / "connections.json").read_text())
    document["connections"]["my_tcp_device"]["config"]["port"] = port
    return json.dumps(document)


def test_the_configuration_is_right(manager_only: ConnectionManager) -> None:
    """`examples/connections.json` is valid, with every type it names, strictly."""
    config = manager_only.read(EXAMPLES / "connections.json", strict=True)
    assert {entry.type for entry in config.connections.values()} == {
        "custom_tcp",
        "modbus_tcp",
        "serial_port",
        "rest_api",
    }
    assert [entry.id for entry in config.connections.values() if entry.enabled] == ["my_tcp_device"]


@pytest.fixture
def manager_only() -> ConnectionManager:
    manager = ConnectionManager()
    manager.add_plugin_folder(EXAMPLES / "plugins")
    return manager


@pytest.mark.parametrize("present", [True, False], ids=["device", "no device"])
async def test_it_runs_and_ends(tmp_path: Path, present: bool) -> None:
    """With a device it prints answers, without one what is wrong and what comes next; Ctrl-C ends it with 0."""
    device = TcpSimulator(port=0)
    await device.start()
    if not present:
        await device.stop()
    (tmp_path / "c.json").write_text(configuration(int(device.port)))
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "embed.py"),
        str(tmp_path / "c.json"),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert program.stdout
    wanted = b"answer: b'ERR" if present else b"it is in error (cannot connect to 127.0.0.1:"
    async with asyncio.timeout(20):
        lines = [line async for line in _until_seen(program.stdout, wanted)]
        program.send_signal(signal.SIGINT)
        assert await program.wait() == 0
    await device.stop()
    assert any(line.startswith(b"connected: my_tcp_device" if present else b"error: my_tcp_device") for line in lines)


async def _until_seen(stream: asyncio.StreamReader, wanted: bytes) -> AsyncIterator[bytes]:
    while line := await stream.readline():
        yield line
        if wanted in line:
            return


def test_the_readme_names_what_is_there() -> None:
    """Every file that the README names exists, and it names every example."""
    text = (EXAMPLES / "README.md").read_text()
    named = {path for path in re.findall(r"\]\(([\w./-]+)\)", text)}
    assert all((EXAMPLES / path).exists() for path in named), named
    assert {path.name for path in (EXAMPLES / "plugins").glob("*.py")} <= {Path(path).name for path in named}
