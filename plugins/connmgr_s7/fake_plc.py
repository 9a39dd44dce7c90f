"""python-snap7's server with a start that reports a taken port and a stop that really stops. Loads the S7 library."""

import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from snap7 import Server, SrvArea
from snap7.server import CPUState, ServerState

MEMORY: Final = {"I": SrvArea.PE, "Q": SrvArea.PA, "M": SrvArea.MK}
STOP_LIMIT: Final = 3.0  # seconds for all threads together; they end within milliseconds

_server_log = logging.getLogger("snap7.server")
if _server_log.level == logging.NOTSET:
    _server_log.setLevel(logging.CRITICAL)  # refusing a read is what a PLC does, not an error of this program


class FakePlc(Server):
    """Serves the given blocks, which stay the caller's.

    The library's own `start` shares the port with whoever listens there already, and its `stop` leaves clients open
    until they next send something; both are rewritten here. `_server_loop` and `_handle_client` are private to it.

    Args:
        blocks: data blocks by number.
        memory: inputs, outputs and flags by letter.
    """

    def __init__(self, blocks: Mapping[int, bytearray], memory: Mapping[str, bytearray]) -> None:
        super().__init__(log=False)
        for number, content in blocks.items():
            self.register_area(SrvArea.DB, number, content)
        for letter, content in memory.items():
            self.register_area(MEMORY[letter], 0, content)
        self._served: dict[threading.Thread, socket.socket] = {}
        self._served_lock = threading.Lock()

    def listen(self, host: str, port: int) -> int:
        """Accept clients on that address only. Returns the port, which the system chose for 0.

        Raises:
            OSError: the port is taken.
        """
        self.server_socket = socket.create_server((host, port), backlog=128)
        self.host, self.port = self.server_socket.getsockname()[:2]
        self.running = True
        self.state, self.cpu_state = ServerState.RUNNING, CPUState.RUN
        self.server_thread = threading.Thread(target=self._server_loop, name=f"s7 simulator {self.port}", daemon=True)
        self.server_thread.start()
        return self.port

    def close(self) -> None:
        """Close the listener and all clients, and wait for their threads, at most `STOP_LIMIT` seconds."""
        deadline = time.monotonic() + STOP_LIMIT
        self.running = False
        if self.server_socket is not None:
            _wake(self.server_socket)
        if self.server_thread is not None:
            self.server_thread.join(max(deadline - time.monotonic(), 0.0))
        if self.server_socket is not None:
            self.server_socket.close()  # not before its thread has let go: the number may become another file's
        with self.client_lock:
            threads = set(self.clients)  # some may have just been started, and are in no other list yet
        with self._served_lock:
            threads |= set(self._served)  # some have just left that list, and are not quite over
            for sock in self._served.values():
                _wake(sock)
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    @contextmanager
    def locked(self, db: int) -> Iterator[None]:
        """Keep clients from seeing a block half-changed."""
        self.lock_area(SrvArea.DB, db)
        try:
            yield
        finally:
            self.unlock_area(SrvArea.DB, db)

    def _handle_client(self, client_socket: socket.socket, address: tuple[str, int]) -> None:
        with self._served_lock:
            self._served = {thread: sock for thread, sock in self._served.items() if thread.is_alive()}
            self._served[threading.current_thread()] = client_socket
            if not self.running:
                _wake(client_socket)
        super()._handle_client(client_socket, address)


def _wake(sock: socket.socket) -> None:
    """End what a thread waits for on this socket."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
