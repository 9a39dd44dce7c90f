"""How TLS connections are secured."""

import functools
import ssl
from pathlib import Path


def shared_context(ca_file: Path | None, *, verifies: bool) -> ssl.SSLContext:
    """One context for all connections that trust the same authorities, until their file changes. Blocks.

    A context holds every authority of the system, about a megabyte that Python does not know of: one for each attempt
    to connect would be that much garbage, which nobody is in a hurry to collect.

    Raises:
        OSError: the file cannot be read, or is no certificate.
    """
    return _context(ca_file, verifies, _stamps(ca_file))


@functools.lru_cache(maxsize=64)
def _context(ca_file: Path | None, verifies: bool, stamps: tuple[int, ...]) -> ssl.SSLContext:  # noqa: ARG001 - makes it anew
    context = ssl.create_default_context(cafile=ca_file)
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _stamps(ca_file: Path | None) -> tuple[int, ...]:
    """What changes with the authorities: the given ones, or the system's."""
    if ca_file is not None:
        found = ca_file.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino
    paths = ssl.get_default_verify_paths()
    files = [Path(path) for path in (paths.cafile, paths.capath) if path is not None]
    return tuple(file.stat().st_mtime_ns for file in files if file.exists())
