"""Which of the bytes that came are the answer to the question just asked. Pure: no I/O, no clock, no state.

pymodbus takes the next well-formed frame of any kind for the answer. Here an answer has to come from the unit that was
asked, for the function that was asked, with exactly as many values as were asked for, or with what was written.
"""

import struct
from dataclasses import dataclass

from pymodbus.framer import FramerRTU

from connmgr import TransientError

NOISE = 3
"""Bytes before or after an RTU frame that do no harm: a driver that is switched on or off invents a few. No frame is
that short."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request as it was sent.

    Attributes:
        sent: the whole frame.
        unit: who was asked.
        number: transaction id; 0 on RTU, which has none.
        size: bytes of the answer without its envelope.
        start: what the answer begins with: function and byte count of a read, what was written for a write.
    """

    sent: bytes
    unit: int
    number: int
    size: int
    start: bytes

    def is_answered_by(self, told: bytes) -> bool:
        """Whether `told`, a frame without its envelope, is the answer or a refusal."""
        if len(told) == 2:
            return told[0] == self.start[0] | 0x80
        return len(told) == self.size and told.startswith(self.start)

    def wrong(self, unit: int, told: bytes) -> TransientError:
        """What to say of an answer that is none."""
        asked = f"function {self.start[0]} of unit {self.unit} and {self.size} bytes"
        came = f"function {told[0] if told else '(none)'} of unit {unit} and {len(told)} bytes, 0x{told[:8].hex()}…"
        hint = "; the adapter echoes what is sent: set local_echo" if told and told in self.sent else ""
        return TransientError(f"the wrong answer came: {came} where {asked} were expected{hint}")


def rtu_question(frame: bytes) -> Question:
    """Read back what pymodbus is about to send on a serial line."""
    return Question(frame, frame[0], 0, *_expected(frame[1:-2]))


def tcp_question(frame: bytes) -> Question:
    """Read back what pymodbus is about to send over Modbus TCP."""
    return Question(frame, frame[6], int.from_bytes(frame[:2]), *_expected(frame[7:]))


def rtu_answer(question: Question, came: bytes) -> bytes:
    """The frame that answers `question`; empty while it is not complete.

    Raises:
        TransientError: what came is, or has become, something else.
    """
    for begin in range(min(NOISE, len(came)) + 1):
        for size in (question.size, 2):
            frame = came[begin : begin + size + 3]
            if (
                len(frame) == size + 3
                and frame[0] == question.unit
                and question.is_answered_by(frame[1:-2])
                and _is_sound(frame)
            ):
                if len(came) > begin + len(frame) + NOISE:
                    raise TransientError(f"more than one answer came: {len(came)} bytes")
                return frame
    if len(came) >= NOISE + question.size + 3 or (len(came) > NOISE and _is_sound(came)):
        raise question.wrong(came[0], came[1:-2])
    return b""


def tcp_answer(question: Question, came: bytes) -> bytes:
    """The frame that answers `question`; empty while it is not complete. Answers with another number are passed over.

    Raises:
        TransientError: what came is not Modbus TCP, or it is the wrong answer.
    """
    while len(came) >= 7:
        number, protocol, length, unit = struct.unpack(">HHHB", came[:7])
        if protocol != 0 or not 3 <= length <= 254:
            raise TransientError(f"the answer is not Modbus TCP: it begins with 0x{came[:7].hex()}")
        frame, came = came[: 6 + length], came[6 + length :]
        if len(frame) < 6 + length:
            break
        if number == question.number:
            if unit != question.unit or not question.is_answered_by(frame[7:]):
                raise question.wrong(unit, frame[7:])
            return frame
    return b""


def _expected(asked: bytes) -> tuple[int, bytes]:
    """Size and beginning of the answer to a request, both without envelope."""
    function, count = asked[0], int.from_bytes(asked[3:5])
    match function:
        case 1 | 2:
            size = (count + 7) // 8
            return 2 + size, bytes([function, size])
        case 3 | 4:
            return 2 + 2 * count, bytes([function, 2 * count])
        case 15 | 16:
            return 5, asked[:5]
        case _:  # 5, 6, 22: the answer repeats the question
            return len(asked), asked


def _is_sound(frame: bytes) -> bool:
    return FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:]))
