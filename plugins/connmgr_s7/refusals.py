"""Tells a PLC's "no" from a garbled answer, by the bytes themselves. Pure.

The library raises one and the same exception for both, with a text that depends on the PLC (a missing block is
"Object does not exist" from one and "Data item is truncated" from another). The difference matters: after a refusal
the link is in order, after garbage it has to be reopened.
"""

from typing import Final

_PROTOCOL: Final = 0x32
_ACK, _ACK_DATA = 0x02, 0x03
_REQUEST_HEADER, _ANSWER_HEADER = 10, 12  # bytes
_SUCCESS: Final = 0xFF

_NOT_ALLOWED = (
    "the PLC does not allow it: permit PUT/GET access from remote partners in the CPU's protection settings, "
    "and check its access level"
)
_ITEM_REASONS: Final = {
    0x01: "the PLC reports a hardware fault",
    0x03: _NOT_ALLOWED,
    0x05: "the address is out of range: compare start and size with the length of the block in the PLC",
    0x06: "the PLC does not support this data type there",
    0x07: "the PLC finds the data type inconsistent",
    0x0A: "it does not exist: the PLC needs such a block, loaded and without optimised block access",
}
_HEADER_REASONS: Final = {
    0x8104: _NOT_ALLOWED,
    0x8404: "the PLC cannot do that: check that the block exists and is long enough",
    0xD241: "the PLC's protection level does not permit it: lower it for remote partners",
}


def refusal(request: bytes, answer: bytes) -> str | None:
    """Why the PLC refuses `request`; None when `answer` is anything but a complete, matching "no".

    Args:
        request: S7 telegram of a read or write of one item, without its ISO frame.
        answer: the telegram that came back, likewise.
    """
    if not _is_answer_to(request, answer):
        return None
    error = int.from_bytes(answer[10:12], "big")
    if error:
        return f"{_HEADER_REASONS.get(error, 'the PLC refuses')} (error 0x{error:04x})"
    parameters = answer[_ANSWER_HEADER:][: int.from_bytes(answer[6:8], "big")]
    data = answer[_ANSWER_HEADER + len(parameters) :]
    if parameters[:2] != bytes([request[_REQUEST_HEADER], 1]) or not data or data[0] == _SUCCESS:
        return None
    return f"{_ITEM_REASONS.get(data[0], 'the PLC refuses')} (code 0x{data[0]:02x})"


def _is_answer_to(request: bytes, answer: bytes) -> bool:
    if len(request) <= _REQUEST_HEADER or len(answer) < _ANSWER_HEADER:
        return False
    if answer[0] != _PROTOCOL or answer[1] not in (_ACK, _ACK_DATA):
        return False
    announced = int.from_bytes(answer[6:8], "big") + int.from_bytes(answer[8:10], "big")
    return answer[4:6] == request[4:6] and len(answer) == _ANSWER_HEADER + announced
