"""The serial proxies, on real ptys."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from connmgr.testing import PtyFaultProxy, PtyPair

SOON = 2.0


def _open_files() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def _exists(path: str) -> bool:
    return os.path.lexists(path)


def _open_tty(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)


async def _read_tty(fd: int, count: int) -> bytes:
    got = b""
    async with asyncio.timeout(SOON):
        while len(got) < count:
            try:
                got += os.read(fd, count - len(got))
            except BlockingIOError:
                await asyncio.sleep(0.002)
    return got


async def test_pty_pair_carries_bytes_both_ways() -> None:
    """A null-modem cable without hardware; nothing is left of it."""
    before = _open_files()
    async with PtyPair() as pair:
        client, device = _open_tty(pair.path), _open_tty(pair.device_path)
        every_byte = bytes(range(256))
        os.write(client, every_byte)
        assert await _read_tty(device, 256) == every_byte
        os.write(device, b"answer")
        assert await _read_tty(client, 6) == b"answer"
        os.close(client)
        os.close(device)
    assert _open_files() == before
    assert not _exists(pair.path)
    assert not _exists(str(Path(pair.path).parent))
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("pty proxy")]


async def test_unplug_and_replug() -> None:
    """An unplugged client gets an error; the same path works again after replug."""
    async with PtyPair() as pair:
        client, device = _open_tty(pair.path), _open_tty(pair.device_path)
        pair.cut()
        assert not _exists(pair.path)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(client, b"hello")
        os.close(client)
        os.write(device, b"nobody hears")
        pair.replug()
        client = _open_tty(pair.path)
        os.write(device, b"again")
        assert await _read_tty(client, 5) == b"again"
        os.close(client)
        os.close(device)


async def test_pty_fault_proxy_breaks_the_line() -> None:
    """The faults of the TCP proxy work on a serial line too."""
    async with PtyPair() as cable, PtyFaultProxy(cable.path) as proxy:
        client, device = _open_tty(proxy.path), _open_tty(cable.device_path)
        proxy.garble(0.01, seed=1)
        os.write(device, b"hello")
        assert await _read_tty(client, 5) != b"hello"
        proxy.heal()
        proxy.late_answer(0.1)
        os.write(client, b"?")
        assert await _read_tty(device, 1) == b"?"
        os.write(device, b"late")
        began = time.monotonic()
        assert await _read_tty(client, 4) == b"late"
        assert time.monotonic() - began >= 0.08
        proxy.cut_after(2)
        os.write(device, b"cut")
        await asyncio.sleep(0.05)
        assert not proxy.plugged
        os.close(client)
        proxy.heal()
        client = _open_tty(proxy.path)
        os.write(device, b"back")
        assert await _read_tty(client, 4) == b"back"
        os.close(client)
        os.close(device)


async def test_pty_fault_proxy_follows_its_device() -> None:
    """When the device's own line goes, the proxy's goes too."""
    async with PtyPair() as cable, PtyFaultProxy(cable.path) as proxy:
        cable.cut()
        await asyncio.sleep(0.05)
        assert not proxy.plugged
        with pytest.raises(FileNotFoundError):
            proxy.heal()
        cable.replug()
        proxy.heal()
        assert proxy.plugged
