"""Field types for the options of plugins: they refuse what cannot work, before anything is dialled.

class TcpOptions(BaseModel):
    host: Host = Field(description="Name or address of the device.")
    port: Port = Field(description="TCP port.")
    timeout: Seconds = Field(5.0, description="Seconds an answer may take.")
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_HOST_AND_PORT: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:]*")
_METADATA: Final = frozenset({ipaddress.ip_address("169.254.169.254"), ipaddress.ip_address("fd00:ec2::254")})


def _check_host(host: str) -> str:
    """A name, an IPv4 or an IPv6 address that can be dialled; see `Host`."""
    if not host:
        raise _refused("empty", "write a name or an address")
    if any(char.isspace() or not char.isprintable() for char in host):
        raise _refused("a host has no spaces or control characters", "delete them")
    if not host.isascii():
        raise _refused("a host is written in ASCII", f"write it in punycode{_punycode(host)}")
    if len(host) > 253:
        raise _refused(f"{len(host)} characters are too many for a host", "253 are allowed")
    if "/" in host or "@" in host:
        raise _refused("a URL where a host is expected", "write only the name or the address")
    if "[" in host or "]" in host or ":" in host:
        return _check_colons(host)
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _check_address(host)
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused("neither a host name nor an address", "names are letters, digits, hyphens and dots")
    return host


def _check_colons(host: str) -> str:
    """An IPv6 address, or something that only looks like one."""
    if host.count("[") != host.count("]"):
        raise _refused("unbalanced brackets", "write an IPv6 address without any: ::1")
    if host.startswith("[") and host.endswith("]"):
        raise _refused("an IPv6 address in brackets", "leave the brackets out: ::1")
    if _HOST_AND_PORT.fullmatch(host):
        raise _refused("a host and a port in one", "the port has a key of its own")
    return _check_address(host)


def _check_address(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        remedy = "IPv4 has four numbers from 0 to 255, IPv6 up to eight groups with colons; a port has a key of its own"
        raise _refused("not an address", remedy) from None
    plain = (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
    if plain.is_unspecified:
        raise _refused("that means every address of this machine, not a device", "write the device's own address")
    if plain in _METADATA:
        raise _refused("the metadata address of cloud machines, not a device", "write the device's own address")
    return host


def _refused(message: str, remedy: str) -> PydanticCustomError:
    # Through the context and not into the template: a message is not a format string.
    return PydanticCustomError("host", "{reason}", {"reason": message, "remedy": remedy})


def _punycode(host: str) -> str:
    try:
        return f": {host.encode('idna').decode('ascii')}"
    except UnicodeError:
        return ""


Host = Annotated[
    str, Field(strict=True, json_schema_extra={"minLength": 1, "maxLength": 253}), AfterValidator(_check_host)
]
"""A name, an IPv4 or an IPv6 address that can be dialled: no port, no brackets, no wildcard, ASCII."""

Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
"""A TCP or UDP port, 1 to 65535."""

Seconds = Annotated[float, Field(strict=True, gt=0, le=86_400, allow_inf_nan=False)]
"""A duration in seconds, more than 0, at most a day."""
