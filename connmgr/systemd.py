"""Telling systemd how we are: readiness, status and watchdog over the notify socket. Without systemd it does nothing.

The protocol is sd_notify(3): datagrams of `NAME=value` lines to the Unix socket that $NOTIFY_SOCKET names.
Nothing here raises and nothing here waits: a daemon must not fail or stall because the service manager is slow.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

_STATUS_MAX = 2000  # characters; a status is one line for `systemctl status`, and a datagram is not unbounded


class Notifier:
    """Sends the daemon's state to systemd; every method is a no-op when systemd did not ask for it.

    The constructor takes NOTIFY_SOCKET out of `environ` (default: the process's), so that no child process
    can speak in our name. Each method returns True when the message was handed to the socket, False when it
    was not: not asked for, the socket is gone, or its queue is full right now.
    """

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        self._address = _address((os.environ if environ is None else environ).pop("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None

    @property
    def enabled(self) -> bool:
        """Whether systemd gave us a notify socket."""
        return self._address is not None

    def ready(self) -> bool:
        """Start-up, or a reload announced by `reloading`, is complete."""
        return self._send("READY=1")

    def status(self, text: str) -> bool:
        """Show `text` in `systemctl status`: one line, line breaks become spaces."""
        return self._send(f"STATUS={_one_line(text)}")

    def reloading(self) -> bool:
        """A reload begins; `ready` ends it. Carries the monotonic time, as Type=notify-reload wants it."""
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> bool:
        """Shutdown begins."""
        return self._send("STOPPING=1")

    def watchdog(self) -> bool:
        """We are alive. Call it from what must be alive, at least once every `watchdog_interval` seconds."""
        return self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket. Later messages open it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> bool:
        if self._address is None:
            return False
        try:
            if self._socket is None:
                self._socket = socket.socket(
                    socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
                )
            self._socket.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError:
            return False
        return True


def watchdog_interval(environ: MutableMapping[str, str] | None = None) -> float | None:
    """How often to call `Notifier.watchdog`, in seconds: half of what systemd allows; None when it does not watch us.

    Takes WATCHDOG_USEC and WATCHDOG_PID out of `environ` (default: the process's), so that no child process believes
    that it is watched: call it once. A WATCHDOG_PID of another process, and values that are no numbers, mean None.
    """
    environ = os.environ if environ is None else environ
    microseconds, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return None
    with contextlib.suppress(ValueError):
        if int(microseconds) > 0:
            return int(microseconds) / 2_000_000
    return None


def _address(value: str) -> str | None:
    """The address to send to, or None. A leading @ means Linux's abstract namespace; vsock: is not for us."""
    if value.startswith("@"):
        return "\0" + value[1:]
    return value if value.startswith("/") else None


def _one_line(text: str) -> str:
    """`text` without control characters, so that a status can never smuggle in a second NAME=value line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_STATUS_MAX]
