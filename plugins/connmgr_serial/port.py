"""The port itself. What may block here runs beside the event loop, see `aside`."""

import errno
import os
import stat
import termios
from contextlib import suppress
from pathlib import Path

import serial
from serial.rs485 import RS485Settings

from connmgr import PermanentError, TransientError
from connmgr_serial.options import Rs485, SerialOptions

ABSENT = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO)
TAKEN = (errno.EAGAIN, errno.EBUSY)
FORBIDDEN = (errno.EACCES, errno.EPERM)
KINDS = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
}
PTY_MAJORS = range(136, 144)  # Linux: the slaves of Unix98 ptys


class Port(serial.Serial):
    """A serial port for `serial_asyncio`, whose transport does things on the event loop that can block it.

    Attributes:
        is_gone: bytes could not be written, because it was unplugged.
    """

    is_gone = False

    @property
    def timeout(self) -> float | None:
        """Seconds a read may block. The transport sets it to what it is, and pyserial would set up the line again."""
        return super().timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        if seconds != self.timeout:
            serial.Serial.timeout.fset(self, seconds)  # type: ignore[attr-defined]  # a property, say the stubs not

    @property
    def write_timeout(self) -> float | None:
        """Seconds a write may block; as `timeout`."""
        return super().write_timeout

    @write_timeout.setter
    def write_timeout(self, seconds: float | None) -> None:
        if seconds != self.write_timeout:
            serial.Serial.write_timeout.fset(self, seconds)  # type: ignore[attr-defined]  # as above

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """As many bytes as the system takes now. pyserial's own would spin where there is no room."""
        try:
            return os.write(self.fileno(), data)
        except BlockingIOError:
            raise  # the transport waits until there is room
        except OSError:
            self.is_gone = True
            return len(data)  # the reading side notices it too; here the transport would only log a traceback

    def flush(self) -> None:
        """Nothing: the transport would wait here until all is sent, even when it is aborted."""

    def close(self) -> None:
        """Nothing: the transport would close here, and a driver may wait then for bytes to be sent."""

    def release(self) -> None:
        """Close, without waiting for bytes that were not sent yet. Blocks while the driver does."""
        with suppress(OSError, termios.error):  # unplugged: nothing is waiting there
            self.reset_output_buffer()
        super().close()


def open_port(options: SerialOptions) -> Port:
    """Open the port for nobody else, and forget what was received before. Blocks.

    Raises:
        TransientError: it is not plugged in, in use, or not ours to open yet.
        PermanentError: that is no serial port, or it cannot do these settings.
    """
    path = options.port
    try:
        is_pty = _require_serial_port(path)
        port = Port(
            path,
            baudrate=options.baudrate,
            # A pty has neither, and the system refuses them there.
            bytesize=8 if is_pty else options.bytesize,
            parity="N" if is_pty else options.parity,
            stopbits=options.stopbits,
            xonxoff=options.xonxoff,
            rtscts=options.rtscts,
            timeout=0,
            write_timeout=0,
            exclusive=True,
        )
    except OSError as error:
        raise explained(path, error) from error
    except (ValueError, termios.error) as error:
        raise PermanentError(f"cannot open {path}: it refuses these settings ({error})") from error
    if options.rs485 is not None:
        try:
            port.rs485_mode = _rs485(options.rs485)
        except (ValueError, OSError) as error:
            port.release()
            raise PermanentError(
                f"cannot open {path}: its driver has no RS-485 mode ({error}); "
                "leave rs485 out if the adapter switches direction by itself"
            ) from error
    return port


def _require_serial_port(path: str) -> bool:
    """Look before opening: to open the wrong device can block, or do something. Returns whether it is a pty."""
    where = Path(path).stat()
    if not stat.S_ISCHR(where.st_mode):
        kind = KINDS.get(stat.S_IFMT(where.st_mode), "something else")
        raise PermanentError(f"cannot open {path}: {kind}, not a serial port; name a device such as /dev/ttyUSB0")
    family = Path(f"/sys/dev/char/{os.major(where.st_rdev)}:{os.minor(where.st_rdev)}/subsystem")
    if family.exists() and family.resolve().name != "tty":
        raise PermanentError(f"cannot open {path}: a device of the kind {family.resolve().name}, not a serial port")
    return os.major(where.st_rdev) in PTY_MAJORS


def _rs485(options: Rs485) -> RS485Settings:
    return RS485Settings(
        rts_level_for_tx=options.rts_level_for_tx,
        rts_level_for_rx=options.rts_level_for_rx,
        loopback=options.loopback,
        delay_before_tx=options.delay_before_tx,
        delay_before_rx=options.delay_before_rx,
    )


def explained(path: str, error: OSError) -> TransientError | PermanentError:
    """Why the port cannot be opened, what to do, and whether waiting may help."""
    if error.errno in ABSENT:
        return TransientError(f"cannot open {path}: not plugged in; see `ls -l /dev/serial/by-id`")
    if error.errno in TAKEN:
        return TransientError(f"cannot open {path}: another program has it open; `fuser {path}` names it")
    if error.errno in FORBIDDEN:  # right after plugging in the system has not set the owner yet: so not permanent
        return TransientError(f"cannot open {path}: permission denied; add the user to the group dialout")
    if error.errno is None:  # pyserial's word for a device without line settings
        return PermanentError(f"cannot open {path}: not a serial port ({error})")
    return TransientError(f"cannot open {path}: {error}")
