"""What a failure is called, and what it asks of the owner."""

import asyncio
import errno
import os
import socket

import pytest
import serial

from connmgr import AuthError, ContractError, NoAnswerError, PermanentError, RefusedError, RetryAfter, TransientError
from connmgr.errors import REASON_LIMIT, Kind, describe, judge, map_errors


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/dev/ttyUSB0"), "permission denied: /dev/ttyUSB0"),
        (socket.gaierror(-2, "Name or service not known"), "name or service not known"),
        (
            serial.SerialException(errno.ENOENT, "could not open port /dev/ttyX: gone"),
            "could not open port /dev/ttyX: gone",
        ),
        (TimeoutError(), "timed out"),
        (TransientError("cannot read it"), "cannot read it"),
        (ValueError("bad\nline\x1b[31m"), "ValueError: bad line [31m"),
        (KeyError(), "KeyError"),
        (Mute(), "Mute: its text cannot be read"),
    ],
)
def test_words(error: Exception, text: str) -> None:
    """One line, without numbers and control characters, and never an exception of its own."""
    assert describe(error) == text


def test_a_long_text_is_cut() -> None:
    """A reason stands in tables and log lines."""
    assert len(describe(TransientError("x" * 10_000_000))) == REASON_LIMIT


@pytest.mark.parametrize(
    ("error", "kind", "layer"),
    [
        (TransientError("t"), Kind.TRANSIENT, "protocol"),
        (NoAnswerError("n"), Kind.TRANSIENT, "device"),
        (RefusedError("r"), Kind.TRANSIENT, "device"),
        (PermanentError("p"), Kind.PERMANENT, "protocol"),
        (AuthError("a"), Kind.PERMANENT, "login"),
        (ContractError("c"), Kind.BUG, "plugin"),
        (ConnectionResetError("o"), Kind.TRANSIENT, "tcp"),
        (socket.gaierror(-2, "?"), Kind.TRANSIENT, "name"),
        (asyncio.IncompleteReadError(b"", 4), Kind.TRANSIENT, "protocol"),
        (ZeroDivisionError("z"), Kind.BUG, "plugin"),
        (SystemExit(3), Kind.BUG, "plugin"),
    ],
)
def test_judgement(error: BaseException, kind: Kind, layer: str) -> None:
    """The type says what happens next and which layer failed."""
    failure = judge(error)
    assert (failure.kind, failure.layer) == (kind, layer)


def test_the_pause_a_device_asks_for_is_bounded() -> None:
    """A device cannot put itself off for ever, nor call at once."""
    assert judge(RetryAfter(42)).retry_after == 42
    assert judge(RetryAfter(1e12)).retry_after == 86_400
    assert judge(RetryAfter(-5)).retry_after == 0
    with pytest.raises(ValueError, match="NaN"):
        RetryAfter(float("nan"))


def test_only_a_bug_comes_with_its_traceback() -> None:
    """An absent device is no reason for thirty lines."""
    assert judge(OSError("gone")).details is None
    try:
        raise ZeroDivisionError("here")
    except ZeroDivisionError as error:
        details = judge(error).details
    assert details is not None
    assert "test_errors.py" in details


def test_map_errors_keeps_the_cause_and_finds_the_layer_through_it() -> None:
    """Translated at the plugin's edge, the foreign exception stays as the cause."""
    expected = pytest.raises(TransientError, match="cannot connect tcp://plc:102: name or service not known")
    with expected as caught, map_errors("connect tcp://plc:102", {OSError: TransientError}):
        raise socket.gaierror(-2, "Name or service not known")
    assert isinstance(caught.value.__cause__, socket.gaierror)
    assert judge(caught.value).layer == "name"


def test_map_errors_passes_ours_and_strangers() -> None:
    """What is not in the mapping is not touched."""
    with pytest.raises(RefusedError), map_errors("read", {Exception: TransientError}):
        raise RefusedError("no")
    with pytest.raises(ZeroDivisionError), map_errors("read", {OSError: TransientError}):
        raise ZeroDivisionError
