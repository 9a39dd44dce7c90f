"""Where messages end, and how the oldest are forgotten (pure, no port)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connmgr_serial.stream import Framing, Stream

LIMIT = 1_000


class _Owner:
    """Counts what was thrown away."""

    count = 0

    def moved(self, *, sent: int = 0, received: int = 0) -> None:
        """Not of interest."""

    def dropped(self, count: int) -> None:
        """Add up."""
        self.count += count

    def ended(self, reason: str) -> None:
        """Not of interest."""


def _stream(framing: Framing, limit: int) -> tuple[Stream, _Owner]:
    owner = _Owner()
    return Stream(owner, None, framing, limit), owner  # type: ignore[arg-type]  # nothing here asks the port


@given(st.lists(st.binary(max_size=400).filter(lambda line: b"\n" not in line), max_size=30))
def test_the_oldest_lines_go_first(lines: list[bytes]) -> None:
    """Of lines that nobody reads the newest stay, whole, as many as fit; the others are counted."""
    stream, owner = _stream(Framing(b"\n"), LIMIT)
    told = b"".join(line + b"\n" for line in lines)
    stream.data_received(told)
    kept = bytes(stream._unread)
    assert told.endswith(kept)
    assert owner.count == len(told) - len(kept)
    assert len(kept) <= LIMIT
    cut = len(told) - len(kept)
    if cut:
        assert told[cut - 1 : cut] == b"\n"
        last = told.rfind(b"\n", 0, cut - 1) + 1
        assert len(told) - last > LIMIT  # with the line before, it would be too much


@pytest.mark.parametrize("framing", [Framing(b"\n"), Framing(b"\r\n"), Framing(None, 3)])
def test_a_flood_is_forgotten_in_one_go(framing: Framing) -> None:
    """Millions of short messages cost as little time as one long one: it is the time of every connection."""
    stream, owner = _stream(framing, 65_536)
    flood = b"a\r\n" * 1_000_000
    began = time.perf_counter()
    stream.data_received(flood)
    assert time.perf_counter() - began < 0.1
    assert len(flood) - owner.count <= 65_536
