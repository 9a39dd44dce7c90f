"""TLS handshakes that fail, again and again, beside others."""

import subprocess
import sys
from pathlib import Path

import pytest

from connmgr_http.tls import shared_context

STORM = """
import asyncio, collections, contextlib, socket, struct, threading
import uvloop
from connmgr_http import HttpConnection

def reset_at_once(listener):  # so soon that the other side has not begun its handshake: not from its own event loop
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

async def again_and_again(port, told, until):
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        api = HttpConnection("api", {"base_url": f"https://127.0.0.1:{port}", "verify_tls": False}, None)
        try:
            await api.connect()
        except Exception as error:
            told["bug" if isinstance(error, RuntimeError) else "refused"] += 1
        finally:
            await api.disconnect()

async def main():
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    told, until = collections.Counter(), asyncio.get_running_loop().time() + 1.5
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=reset_at_once, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        await asyncio.gather(*(again_and_again(port, told, until) for _ in range(10)))
    print(dict(told), flush=True)

uvloop.run(main())
"""


def test_every_descriptor_has_one_owner() -> None:
    """A handshake that fails closes its own file descriptor and no other: closed twice, libuv aborts the process."""
    pytest.importorskip("uvloop")
    ran = subprocess.run([sys.executable, "-c", STORM], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, "refused" in ran.stdout) == (0, True), ran.stderr[-2000:]
    assert "bug" not in ran.stdout


def test_one_context_for_all(tmp_path: Path) -> None:
    """All attempts share a context of about a megabyte, until the file with the authorities changes."""
    assert shared_context(None, verifies=True) is shared_context(None, verifies=True)
    assert shared_context(None, verifies=True) is not shared_context(None, verifies=False)
    with pytest.raises(OSError, match="No such file"):
        shared_context(tmp_path / "ca.pem", verifies=True)
