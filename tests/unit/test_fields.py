"""The field types for options of plugins."""

import math
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from connmgr.fields import Host, Port, Seconds

HOST: TypeAdapter[str] = TypeAdapter(Host)
PORT: TypeAdapter[int] = TypeAdapter(Port)
SECONDS: TypeAdapter[float] = TypeAdapter(Seconds)

GOOD_HOSTS = ["localhost", "plc-4.hall.example", "a_b", "10.0.0.4", "127.0.0.1", "::1", "fe80::1%eth0", "2001:db8::7"]
GOOD_HOSTS += ["example.org.", "x" * 63, "1and1.example", "xn--bcher-kva.example", "COM3", "::ffff:10.0.0.4"]


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    """Names, IPv4 and IPv6 pass unchanged."""
    assert HOST.validate_python(host) == host


BAD_HOSTS = [
    ("", "empty", "write a name"),
    ("0.0.0.0", "every address of this machine", "the device's own"),
    ("::", "every address of this machine", ""),
    ("::ffff:0.0.0.0", "every address of this machine", ""),
    ("0", "not an address", ""),
    ("127.1", "not an address", ""),
    ("0x7f000001", "not an address", ""),
    ("2852039166", "not an address", ""),
    ("10.0.0.256", "not an address", ""),
    ("10.0.0.4.5", "not an address", ""),
    ("169.254.169.254", "metadata", ""),
    ("::ffff:169.254.169.254", "metadata", ""),
    ("host:102", "a host and a port in one", "a key of its own"),
    ("[::1]:102", "a host and a port in one", ""),
    ("host:102:103", "not an address", "a port has a key"),
    ("[::1", "unbalanced brackets", "::1"),
    ("::1]", "unbalanced brackets", ""),
    ("[::1]", "in brackets", "leave the brackets out"),
    ("http://host", "a URL", ""),
    ("user@host", "a URL", ""),
    ("x" * 300, "300 characters are too many", "253"),
    ("x" * 64, "neither a host name nor an address", ""),
    ("-a", "neither a host name nor an address", ""),
    ("a..b", "neither a host name nor an address", ""),
    ("a b", "no spaces or control characters", ""),
    ("a\n", "no spaces or control characters", ""),
    ("a\x00", "no spaces or control characters", ""),
    ("\N{CYRILLIC SMALL LETTER A}pple.com", "written in ASCII", "punycode: xn--pple-43d.com"),
    ("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher", "written in ASCII", "xn--bcher-kva"),
]


@pytest.mark.parametrize(("host", "message", "remedy"), BAD_HOSTS)
def test_a_host_that_cannot_be_dialled_is_refused_with_a_remedy(host: str, message: str, remedy: str) -> None:
    """Before anything is dialled."""
    with pytest.raises(ValidationError) as caught:
        HOST.validate_python(host)
    (details,) = caught.value.errors()
    assert message in details["msg"]
    assert remedy in details["ctx"]["remedy"]


@pytest.mark.parametrize("host", [None, 5, True, b"host", ["host"]])
def test_a_host_is_text(host: Any) -> None:
    """Nothing is turned into text."""
    with pytest.raises(ValidationError):
        HOST.validate_python(host)


@pytest.mark.parametrize("port", [0, 65536, -1, 1.5, 80.0, "80", True, None])
def test_a_port_is_a_whole_number_from_1_to_65535(port: Any) -> None:
    """Nothing else passes for one."""
    assert PORT.validate_python(1) == 1
    assert PORT.validate_python(65535) == 65535
    with pytest.raises(ValidationError):
        PORT.validate_python(port)


@pytest.mark.parametrize("seconds", [0, -1, 86_400.1, 1e12, math.inf, math.nan, "5", True, None])
def test_seconds_are_a_finite_number_up_to_a_day(seconds: Any) -> None:
    """Nothing else passes for them; whole numbers do."""
    assert SECONDS.validate_python(5) == 5.0
    assert SECONDS.validate_python(86_400) == 86_400
    with pytest.raises(ValidationError):
        SECONDS.validate_python(seconds)
