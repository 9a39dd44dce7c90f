"""systemd.py against a real datagram socket, which is all that systemd is from here."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connmgr.systemd import Notifier, watchdog_interval


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """The receiving end of a notify socket, and its address as NOTIFY_SOCKET names it."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.setblocking(False)
        yield receiver, address


@pytest.fixture
def notifier(manager: tuple[socket.socket, str]) -> Iterator[Notifier]:
    notifier = Notifier({"NOTIFY_SOCKET": manager[1]})
    yield notifier
    notifier.close()


@pytest.mark.parametrize(
    ("call", "datagram"),
    [
        (Notifier.ready, b"READY=1"),
        (Notifier.stopping, b"STOPPING=1"),
        (Notifier.watchdog, b"WATCHDOG=1"),
        (lambda notifier: notifier.status("5 of 5 connected"), b"STATUS=5 of 5 connected"),
        (lambda notifier: notifier.status("Ofen 3: 20 °C"), "STATUS=Ofen 3: 20 °C".encode()),
    ],
)
def test_message(
    manager: tuple[socket.socket, str], notifier: Notifier, call: Callable[[Notifier], bool], datagram: bytes
) -> None:
    """Each call is one datagram with the words of sd_notify(3)."""
    assert call(notifier) is True
    assert manager[0].recv(4096) == datagram


def test_reloading_says_when(manager: tuple[socket.socket, str], notifier: Notifier) -> None:
    """A reload carries the monotonic clock in microseconds, in the same datagram."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert notifier.reloading()
    first, second = manager[0].recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@pytest.mark.parametrize("text", ["press_plc: lost\nREADY=1", "a\r\nMAINPID=1", "a\u2028b\x00c\x1b[31m", "x" * 100_000])
def test_status_is_one_line(manager: tuple[socket.socket, str], notifier: Notifier, text: str) -> None:
    """Whatever a device put into an error text, the status stays one printable line of bounded length."""
    assert notifier.status(text)
    received = manager[0].recv(200_000).decode()
    assert received.startswith("STATUS=")
    assert received.isprintable()
    assert len(received) < 2100


def test_abstract_socket() -> None:
    """NOTIFY_SOCKET=@name is a socket in the abstract namespace."""
    name = f"connmgr-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        notifier = Notifier({"NOTIFY_SOCKET": "@" + name})
        assert notifier.ready()
        assert receiver.recv(100) == b"READY=1"
        notifier.close()


@pytest.mark.parametrize("value", [None, "", "relative/path", "vsock:2:1234"])
def test_without_systemd_nothing_happens(value: str | None) -> None:
    """Without a usable NOTIFY_SOCKET every call is a no-op that says so."""
    notifier = Notifier({} if value is None else {"NOTIFY_SOCKET": value})
    assert not notifier.enabled
    assert not any(
        (notifier.ready(), notifier.status("x"), notifier.reloading(), notifier.stopping(), notifier.watchdog())
    )


def test_a_socket_that_is_gone_raises_nothing(tmp_path: Path) -> None:
    """A notify socket that nobody listens on costs a message, never the daemon; it is used again once it is back."""
    address = str(tmp_path / "notify")
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert notifier.ready() is False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        assert notifier.ready() is True
    notifier.close()


def test_a_full_queue_does_not_block(manager: tuple[socket.socket, str], notifier: Notifier) -> None:
    """When systemd does not read, sending fails at once instead of stopping the event loop."""
    begin = time.monotonic()
    results = [notifier.watchdog() for _ in range(10_000)]
    assert False in results
    assert time.monotonic() - begin < 5
    while True:  # the queue drains, and sending works again
        try:
            manager[0].recv(100)
        except BlockingIOError:
            break
    assert notifier.watchdog()


def test_children_do_not_inherit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are taken out of the environment once they were read."""
    for name, value in {
        "NOTIFY_SOCKET": "/run/x",
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": str(os.getpid()),
    }.items():
        monkeypatch.setenv(name, value)
    assert Notifier().enabled
    assert watchdog_interval() == 0.5
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], expected: float | None) -> None:
    """The interval is half of WATCHDOG_USEC, when the watchdog is meant for this process."""
    assert watchdog_interval(environ) == expected
