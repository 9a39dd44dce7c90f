"""What counts as the PLC's "no"."""

import pytest

from connmgr_s7.refusals import refusal

READ = bytes.fromhex("320100000002000e00000401120a10020001000184000000")
WRITE = bytes.fromhex("320100000007000e00050501120a1002000100018400000000040008ff")


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ("32030000000200020004000004010a000000", "does not exist"),
        ("32030000000200020004000004010a000004", "does not exist"),
        ("320300000002000200040000040105000000", "out of range"),
        ("320300000002000200040000040103000000", "PUT/GET"),
        ("320200000002000000008104", "PUT/GET"),
        ("320200000002000000008404", "cannot do that"),
        ("3203000000020002000400000401ee000000", "code 0xee"),
        ("320200000002000000009999", "error 0x9999"),
    ],
)
def test_a_complete_no_is_a_refusal_whichever_server_words_it(answer: str, part: str) -> None:
    """Recorded from python-snap7's and snap7's own server; those with code 03, 8104, ee and 9999 are made by hand."""
    assert part in (refusal(READ, bytes.fromhex(answer)) or "")


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "3203000000020002000800000401ff0400200000002a",  # success
        "32030000000300020004000004010a000000",  # answers another request
        "32030000000200020004000005010a000000",  # answers a write
        "32030000000200020004000004020a000000",  # two items
        "32030000000200020005000004010a000000",  # cut off
        "32030000000200020003000004010a000000",  # too long
        "33030000000200020004000004010a000000",  # another protocol
        "32010000000200020004000004010a000000",  # a request
        "3203000000020002000000000401",  # no item
        "320300000002",  # not even a header
    ],
)
def test_anything_else_is_not(answer: str) -> None:
    """A success, a stale answer, a cut one and garbage are never taken for a refusal."""
    assert refusal(READ, bytes.fromhex(answer)) is None


def test_a_write_is_refused_in_one_byte() -> None:
    """The C++ server's answer to a write beyond the end of a block."""
    assert "out of range" in (refusal(WRITE, bytes.fromhex("320300000007000200010000050105")) or "")


def test_every_cut_of_a_refusal_is_none() -> None:
    """However little is missing, it is not an answer."""
    answer = bytes.fromhex("32030000000200020004000004010a000000")
    assert refusal(READ, answer)
    assert [refusal(READ, answer[:count]) for count in range(len(answer))] == [None] * len(answer)
