"""A device on a serial line (RS-232, RS-485) through pyserial. The name of this file is the name of the type.

The plugin `serial`, which comes with connmgr, does more (parity, direction control, framing, a question as its health
check); this one shows the least that is safe.
"""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connmgr import BaseConnection, NoAnswerError, TransientError, map_errors

if TYPE_CHECKING:
    from serial import Serial

LONGEST = 4096  # bytes of a line


class SerialConnection(BaseConnection):
    """Sends bytes and receives lines. Never sends anything by itself: not every device on a bus likes to be asked."""

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:
        super().__init__(connection_id, config, app_context)
        self.port = config["port"]  # "/dev/serial/by-id/…" stays the same when the adapter is plugged in elsewhere
        self.baudrate = config.get("baudrate", 9600)
        self.timeout = config.get("timeout", 1.0)
        self.serial: Serial | None = None
        self._in_use = threading.Lock()

    def connect(self) -> bool:
        import serial

        # serial.SerialException is an OSError, which connmgr takes for "try again": the adapter may be plugged in later.
        self.serial = serial.Serial(
            port=self.port, baudrate=self.baudrate, timeout=self.timeout, write_timeout=self.timeout, exclusive=True
        )
        return True

    def disconnect(self) -> bool:
        port, self.serial = self.serial, None
        if port is not None:
            port.cancel_read()
            with self._in_use:  # pyserial does not bear being closed under a thread that reads
                port.close()
        return True

    def is_connected(self) -> bool:
        return self.serial is not None and self.serial.is_open

    def health_check(self) -> bool:
        """Whether the adapter is still plugged in: asking for its input fails when it is not."""
        return self._open_port().in_waiting >= 0

    def send_data(self, data: bytes) -> None:
        """Send some bytes."""
        with self.exchange(self.timeout):
            self._send(data)

    def receive_data(self) -> bytes:
        """The next line, line end included.

        Raises:
            NoAnswerError: none came in time; the line is reopened.
        """
        with self.exchange(self.timeout):
            return self._receive()

    def request(self, data: bytes) -> bytes:
        """Send a line and return the line that answers it. What came unasked before is thrown away."""
        with self.exchange(self.timeout):
            self._send(data, alone=True)
            return self._receive()

    def _send(self, data: bytes, *, alone: bool = False) -> None:
        with self._in_use, map_errors(f"write to {self.port}", {OSError: TransientError}):
            port = self._open_port()
            if alone:
                port.reset_input_buffer()
            port.write(data)
        self.update_stats(packets_sent=1, bytes_sent=len(data))

    def _receive(self) -> bytes:
        with self._in_use, map_errors(f"read from {self.port}", {OSError: TransientError}):
            data = bytes(self._open_port().readline(LONGEST))
        if not data.endswith(b"\n"):
            raise NoAnswerError(f"{self.port}: no complete line within {self.timeout:g} s")
        self.update_stats(packets_received=1, bytes_received=len(data))
        return data

    def _open_port(self) -> "Serial":
        if self.serial is None:
            raise TransientError(f"cannot use {self.connection_id}: it is not connected")
        return self.serial
