"""The same against an S7 server from another house.

Runs with `CONNMGR_S7_FOREIGN=host:port` (a PLC with 12 bytes in DB1 and 1400 bytes in DB2 that may be overwritten), or
where node finds the module node-snap7 (`NODE_PATH`), whose server it then starts.
"""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from connmgr import RefusedError
from connmgr_s7 import S7Connection

Supervise = Callable[..., Awaitable[S7Connection]]  # see conftest.py

SERVER = Path(__file__).with_name("foreign_plc.js")


def node_has_snap7() -> bool:
    node = shutil.which("node")
    look = "require.resolve('node-snap7')"
    return node is not None and not subprocess.run([node, "-e", look], capture_output=True, check=False).returncode


@pytest.fixture
async def foreign() -> AsyncIterator[dict[str, Any]]:
    """The config of a connection to it."""
    given = os.environ.get("CONNMGR_S7_FOREIGN")
    if given:
        host, _, number = given.rpartition(":")
        yield {"host": host, "port": int(number)}
        return
    if not node_has_snap7():
        pytest.skip("neither CONNMGR_S7_FOREIGN nor node with node-snap7 is there")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec("node", str(SERVER), str(port), stdin=pipe, stdout=pipe)
    try:
        assert server.stdout
        async with asyncio.timeout(10):
            assert await server.stdout.readline() == b"listening\n"
        yield {"host": "127.0.0.1", "port": port}
    finally:
        server.kill()
        await server.communicate()


@pytest.mark.parametrize("pdu", [240, 480, 960])
async def test_reads_and_writes_in_every_telegram_size(foreign: dict[str, Any], supervise: Supervise, pdu: int) -> None:
    """It grants what is asked for; long transfers come out whole."""
    connection = await supervise({**foreign, "pdu": pdu})
    assert connection.pdu is not None
    assert connection.pdu <= pdu
    data = bytes(index % 253 for index in range(1400))
    await connection.write_db(2, 0, data)
    assert await connection.read_db(2, 0, 1400) == data
    assert len(await connection.read_db(1, 0, 12)) == 12
    for bit in (0, 7):
        await connection.read_modify_write_byte_bit(2, 100, bit, value=True)
    assert (await connection.read_db(2, 100, 1))[0] == 100 | 0x81


async def test_its_no_is_understood_and_leaves_the_link_alone(foreign: dict[str, Any], supervise: Supervise) -> None:
    """The library calls it "Data item is truncated", the same as garbage."""
    connection = await supervise(foreign)
    session = connection._session
    for _ in range(3):
        with pytest.raises(RefusedError, match=r"cannot read DB999\.DBB0: .*exist"):
            await connection.read_db(999, 0, 1)
        with pytest.raises(RefusedError, match=r"cannot write DB999\.DBB0: .*exist"):
            await connection.write_db(999, 0, b"x")
        assert await connection.health_check() is True
    assert connection._session is session


async def test_sessions_come_and_go(foreign: dict[str, Any], supervise: Supervise) -> None:
    """Each is accepted, of use, and closed; twenty in a row, as a PLC has few to spare."""
    for _ in range(20):
        connection = S7Connection("plc", foreign, None)
        await connection.connect()
        assert len(await connection.read_db(1, 0, 4)) == 4
        await connection.disconnect()
