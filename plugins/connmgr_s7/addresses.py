"""Places in a PLC: which can be asked for, and how they are called in messages. Pure."""

from typing import Final, Literal

Area = Literal["DB", "I", "Q", "M"]
Memory = Literal["I", "Q", "M"]

AREAS: Final[frozenset[str]] = frozenset({"DB", "I", "Q", "M"})
DB_LIMIT: Final = 65_535
SIZE_LIMIT: Final = 65_535
REACH: Final = 65_536
"""Bytes of the largest block that classic addressing is used for."""


def check_db(db: int) -> None:
    """Refuse a number that no data block has.

    Raises:
        ValueError: it is not a whole number from 1 to 65535.
    """
    if not _is_whole(db) or not 1 <= db <= DB_LIMIT:
        raise ValueError(f"cannot address DB {db!r}: data blocks have whole numbers from 1 to {DB_LIMIT}")


def check_range(start: int, size: int) -> None:
    """Refuse bytes that no block has.

    Raises:
        ValueError: start is negative, size is not from 1 to 65535, or the last byte is beyond 65535.
    """
    if not _is_whole(start) or start < 0:
        raise ValueError(f"cannot start at byte {start!r}: the first byte is 0")
    if not _is_whole(size) or not 1 <= size <= SIZE_LIMIT:
        raise ValueError(f"cannot transfer {size!r} bytes: 1 to {SIZE_LIMIT} are possible")
    if start + size > REACH:
        raise ValueError(f"cannot reach byte {start + size - 1}: the last byte of a block is {REACH - 1}")


def check_area(area: str) -> None:
    """Refuse what is not I, Q or M.

    Raises:
        ValueError: it is none of them; data blocks have methods of their own.
    """
    if area not in AREAS or area == "DB":
        raise ValueError(f"cannot address area {area!r}: choose I (inputs), Q (outputs) or M (flags)")


def check_bit(bit_index: int) -> None:
    """Refuse a bit that a byte does not have.

    Raises:
        ValueError: it is not a whole number from 0 to 7.
    """
    if not _is_whole(bit_index) or not 0 <= bit_index <= 7:
        raise ValueError(f"cannot address bit {bit_index!r}: a byte has bits 0 to 7")


def named(area: Area, db: int, start: int, size: int) -> str:
    """How people write these bytes: `DB1.DBB0..11`, `MB4`."""
    first = f"DB{db}.DBB{start}" if area == "DB" else f"{area}B{start}"
    return first if size == 1 else f"{first}..{start + size - 1}"


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
