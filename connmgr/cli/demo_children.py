"""The processes of the demo: the simulated devices and the daemon, started so that none of them outlives it."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
LAST_LINES = 5


class Child:
    """One `connmgr …` process. It can be started again after it was stopped; all it prints goes to one file.

    Args:
        arguments: what follows `connmgr`.
        output: where its standard output and error go.
        orphan_signal: what the kernel sends it when the demo dies, however it dies.
    """

    def __init__(self, arguments: Sequence[str], output: Path, orphan_signal: signal.Signals = signal.SIGTERM) -> None:
        self._arguments = arguments
        self._output = output
        self._orphan_signal = orphan_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0
        self.is_frozen = False

    def start(self) -> None:
        """Start it; harmless while it runs."""
        if self.is_running:
            return
        with self._output.open("ab") as output:
            self._said_before = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "connmgr", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the demo alone, which ends its children in order
                preexec_fn=_end_with_parent(os.getpid(), self._orphan_signal),  # noqa: PLW1509 - the demo has no threads
            )

    @property
    def is_running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, and before its first start."""
        return self._process.poll() if self._process is not None else None

    @property
    def output(self) -> str:
        """What it printed since it was last started."""
        with suppress(OSError):
            return self._output.read_bytes()[self._said_before :].decode(errors="replace")
        return ""

    @property
    def last_words(self) -> str:
        """The end of its output."""
        return "\n".join(self.output.strip().splitlines()[-LAST_LINES:])

    def freeze(self) -> None:
        """Stop it in its tracks: its port stays open, and nothing answers there."""
        self._send(signal.SIGSTOP)
        self.is_frozen = self.is_running

    def thaw(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)
        self.is_frozen = False

    def ask_to_end(self) -> None:
        """SIGTERM; does not wait."""
        self._send(signal.SIGTERM)
        self.thaw()

    def end(self, patience: float) -> None:
        """Ask it to end, and kill it after `patience` seconds; it is gone afterwards."""
        self.ask_to_end()
        if self._process is None:
            return
        until = time.monotonic() + patience
        while self.is_running and time.monotonic() < until:
            time.sleep(0.01)
        if self.is_running:
            self._process.kill()
        self._process.wait()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)


def _end_with_parent(parent: int, number: signal.Signals) -> Callable[[], None]:
    """Something to run in the child before the program starts. Where there is no prctl it does nothing."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
            if os.getppid() != parent:  # it died in between
                os._exit(1)

    return prepare
