"""The serial port under RTU: opened off the event loop, with errors that say what to do."""

import asyncio
import errno
import os
import stat
import termios
import threading
from contextlib import suppress
from pathlib import Path

from pymodbus.transport.serialtransport import SerialTransport

from connmgr import PermanentError, TransientError
from connmgr_modbus.options import ModbusOptions

ABSENT = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO)
TAKEN = (errno.EAGAIN, errno.EBUSY)
FORBIDDEN = (errno.EACCES, errno.EPERM)
_being_opened: set[str] = set()  # paths whose thread has not come back; a driver that hangs gets no second one
PTY_MAJORS = range(136, 144)  # Linux: the slaves of Unix98 ptys


async def open_port(options: ModbusOptions, protocol: asyncio.BaseProtocol) -> SerialTransport:
    """Open the port in a thread of its own, for nobody else, and join it to `protocol`.

    Raises:
        TransientError: it is not plugged in, in use, or not ours to open yet.
        PermanentError: that is no serial port, or it cannot do these settings.
    """
    loop, path = asyncio.get_running_loop(), str(options.port)
    opened: asyncio.Future[SerialTransport] = loop.create_future()

    def work() -> None:
        try:
            outcome: SerialTransport | BaseException = _open(options, loop, protocol)
        except BaseException as error:  # noqa: BLE001 - it belongs to the one who waits
            outcome = error
        _being_opened.discard(path)
        try:
            loop.call_soon_threadsafe(_hand_over, opened, outcome)
        except RuntimeError:  # the loop has been closed meanwhile
            if isinstance(outcome, SerialTransport):
                outcome.sync_serial.close()

    if path in _being_opened:
        raise TransientError(f"cannot open {path}: the driver hangs in an earlier attempt; unplug the adapter")
    _being_opened.add(path)
    threading.Thread(target=work, name=f"open {path}", daemon=True).start()
    try:
        transport = await opened
    except asyncio.CancelledError:
        if opened.done() and not opened.cancelled() and opened.exception() is None:  # both in one round of the loop
            close_port(opened.result())
        raise
    transport.setup()
    return transport


def _hand_over(opened: asyncio.Future[SerialTransport], outcome: SerialTransport | BaseException) -> None:
    if isinstance(outcome, BaseException):
        if not opened.done():
            opened.set_exception(outcome)
    elif opened.done():  # nobody waits any more
        close_port(outcome)
    else:
        opened.set_result(outcome)


def close_port(transport: SerialTransport) -> None:
    """Close without waiting for bytes that were not sent yet: the system would wait for them, and the loop with it."""
    port = transport.sync_serial
    if port is not None:
        with suppress(OSError, termios.error):  # unplugged: nothing is waiting there
            port.reset_output_buffer()
        transport.close()


def drop_input(transport: SerialTransport) -> None:
    """Throw away what the system has received and nobody has read.

    Raises:
        TransientError: the port is gone.
    """
    try:
        transport.sync_serial.reset_input_buffer()
    except (OSError, termios.error) as error:
        raise TransientError(f"cannot use the serial port: {error}") from error


def _open(options: ModbusOptions, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol) -> SerialTransport:
    path = str(options.port)
    try:
        device = Path(path).stat()
        if not stat.S_ISCHR(device.st_mode):
            raise PermanentError(f"cannot open {path}: that is no serial port; name a device such as /dev/ttyUSB0")
        # A pty has neither data bits nor parity, and the system refuses them there.
        bits, parity = (8, "N") if os.major(device.st_rdev) in PTY_MAJORS else (options.bytesize, options.parity)
        return SerialTransport(loop, protocol, path, options.baudrate, bits, parity, options.stopbits, 0)
    except OSError as error:
        raise explained(path, error) from error
    except (ValueError, termios.error) as error:
        raise PermanentError(f"cannot open {path}: it refuses these settings ({error})") from error


def explained(path: str, error: OSError) -> TransientError | PermanentError:
    """Why the port cannot be opened, what to do, and whether waiting may help."""
    if error.errno in ABSENT:
        return TransientError(f"cannot open {path}: not plugged in; see `ls -l /dev/serial/by-id`")
    if error.errno in TAKEN:
        return TransientError(f"cannot open {path}: another program has it open; `fuser {path}` names it")
    if error.errno in FORBIDDEN:  # right after plugging in the system has not set the owner yet: so not permanent
        return TransientError(f"cannot open {path}: permission denied; add the user to the group dialout")
    if error.errno is None or error.errno in (errno.EISDIR, errno.ENOTTY, errno.EINVAL):
        return PermanentError(f"cannot open {path}: that is no serial port ({error})")
    return TransientError(f"cannot open {path}: {error}")
