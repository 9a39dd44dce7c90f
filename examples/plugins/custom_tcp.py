"""A device that speaks lines over TCP: a first plugin with plain methods, to copy and change.

It blocks where blocking is simplest: connmgr runs these methods in a thread of the connection's own. Every wait has an
end, and whatever cannot be done raises, because an exception carries the reason into the status and the log.
"""

import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from connmgr import AppContext, BaseConnection, ConnectionStatus, NoAnswerError, TransientError, map_errors

LONGEST = 64 * 1024  # bytes of a line: a device that never ends one must not fill the memory
UNREAD = 1000  # lines that may wait for receive_data()


class CustomTCPConnection(BaseConnection):
    """Sends lines and receives lines; the device answers PING with PONG."""

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:
        super().__init__(connection_id, config, app_context)
        self.host = config.get("host", "localhost")
        self.port = config.get("port", 5000)
        self.timeout = config.get("timeout", 5.0)
        self.line: Line | None = None

    # --- the four that connmgr calls

    def connect(self) -> bool:
        with map_errors(f"connect to {self.host}:{self.port}", {OSError: TransientError}):
            self.line = Line(socket.create_connection((self.host, self.port), self.timeout), self.timeout)
        # connmgr sets these too. They are here for those who use the class without it.
        self.status = ConnectionStatus.CONNECTED
        self.connected_at = time.time()
        return True

    def disconnect(self) -> bool:
        line, self.line = self.line, None
        if line is not None:
            line.close()
        self.status = ConnectionStatus.DISCONNECTED
        return True

    def is_connected(self) -> bool:
        return self.line is not None

    def health_check(self) -> bool:
        with self.exchange(self.timeout):
            line = self._open_line()
            line.send(b"PING\n")
            while (answer := line.read()).strip() != b"PONG":
                line.put_aside(answer)  # somebody's answer, which receive_data() is going to want
        return True

    # --- for the application, from any thread

    def send_data(self, data: bytes) -> bool:
        """Send some bytes, line end included."""
        with self.exchange(self.timeout):
            self._send(data)
        return True

    def receive_data(self) -> bytes:
        """The next line of the device, line end included.

        Raises:
            NoAnswerError: none came in time. The link is reopened, lest the line that comes late answers the next.
        """
        with self.exchange(self.timeout):
            return self._receive()

    def request(self, data: bytes) -> bytes:
        """Send a line and return the line that answers it, with nobody in between, whoever else uses the link."""
        with self.exchange(self.timeout):
            self._send(data)
            return self._receive()

    # --- inside an exchange

    def _send(self, data: bytes) -> None:
        self._open_line().send(data)
        self.update_stats(packets_sent=1, bytes_sent=len(data))

    def _receive(self) -> bytes:
        line = self._open_line()
        data = line.unread.popleft() if line.unread else line.read()
        self.update_stats(packets_received=1, bytes_received=len(data))
        return data

    def _open_line(self) -> "Line":
        if self.line is None:
            raise TransientError(f"cannot use {self.connection_id}: it is not connected")
        return self.line


class Line:
    """One socket with what was read from it and not yet asked for. A new one for every session."""

    def __init__(self, connected: socket.socket, timeout: float) -> None:
        self.unread: deque[bytes] = deque()
        self._socket = connected
        self._timeout = timeout
        self._started = b""

    def send(self, data: bytes) -> None:
        with map_errors("send", {OSError: TransientError}):
            self._socket.settimeout(self._timeout)
            self._socket.sendall(data)

    def read(self) -> bytes:
        """One line, line end included, within the timeout however slowly it trickles in."""
        end = time.monotonic() + self._timeout
        while b"\n" not in self._started:
            remaining = end - time.monotonic()
            if remaining <= 0:
                raise NoAnswerError(f"no complete line within {self._timeout:g} s")
            if len(self._started) > LONGEST:
                raise TransientError(f"cannot read: a line is longer than {LONGEST} bytes")
            self._started += self._more(remaining)
        line, self._started = self._started.split(b"\n", 1)
        return line + b"\n"

    def put_aside(self, line: bytes) -> None:
        if len(self.unread) >= UNREAD:
            raise TransientError(f"cannot read: {UNREAD} lines wait for somebody to receive them")
        self.unread.append(line)

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that is reading
        except OSError:
            pass  # the device was first
        self._socket.close()

    def _more(self, timeout: float) -> bytes:
        with map_errors("read", {OSError: TransientError}):
            self._socket.settimeout(timeout)
            try:
                data = self._socket.recv(4096)
            except TimeoutError:
                return b""  # read() looks at the clock
        if not data:
            raise TransientError("cannot read: the device closed the connection")
        return data


def initialize(app_context: AppContext) -> None:
    """Called once when connmgr loads this file from a plugin folder."""
    conn_mgr = app_context.module_manager.get_module("connection_manager")
    conn_mgr.register_connection_type("custom_tcp", CustomTCPConnection)


def main() -> None:
    """The class by hand, without connmgr: `python custom_tcp.py HOST PORT`."""
    import sys

    connection = CustomTCPConnection("by_hand", {"host": sys.argv[1], "port": int(sys.argv[2])}, None)
    print("connect:", connection.connect())
    print("health check:", connection.health_check())
    print("request:", connection.request(b"COMMAND\n"))
    print("status:", connection.get_status())
    print("disconnect:", connection.disconnect())


if __name__ == "__main__":
    main()
