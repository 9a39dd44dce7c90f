"""Where a request goes: never anywhere but under `base_url`. Pure."""

import re
from urllib.parse import unquote, urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def checked_base(url: str) -> str:
    """`url` without slashes at its end.

    Raises:
        ValueError: it is no http or https address, or has something in it that has no place there.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("an address is written in ASCII, without spaces or backslashes")
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        has_host = False
    if not url.startswith(("http://", "https://")):
        raise ValueError("an address begins with http:// or https://")
    if not has_host:
        raise ValueError("an address needs a host, and a port from 1 to 65535 if any")
    if "@" in parts.netloc:
        raise ValueError("no name or password in the address: use api_key")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError("no query in the address: give it to the request")
    _refuse_dots(parts.path)
    return url.rstrip("/")


def joined(base: str, endpoint: str) -> str:
    """`base`, exactly one slash, and `endpoint`, which may have a query.

    Raises:
        ValueError: the endpoint could lead away from `base`.
    """
    if not endpoint.isprintable() or "\\" in endpoint or "#" in endpoint:
        raise ValueError("cannot use this endpoint: it has a control character, a backslash or a # in it")
    if _SCHEME.match(endpoint) or endpoint.startswith("//"):
        raise ValueError("cannot use this endpoint: write its path alone, base_url says where")
    _refuse_dots(path_of(endpoint))
    return f"{base}/{endpoint.removeprefix('/')}"


def path_of(endpoint: str) -> str:
    """The endpoint as it may be shown: with one slash in front, without its query, which may hold secrets."""
    return "/" + endpoint.partition("?")[0].removeprefix("/")


def _refuse_dots(path: str) -> None:
    plain = unquote(unquote(path))  # twice, because some servers decode twice
    if any(segment in (".", "..") for segment in re.split(r"[/\\]", plain)):
        raise ValueError("cannot use a path with . or .. in it: write where it leads to")
