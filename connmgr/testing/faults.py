"""The faults that both proxies know, switched on and off while bytes flow."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from enum import Enum
from typing import Protocol

PIECE = 4096
"""The most bytes read at once. A proxy holds one piece in each direction, so a slow reader slows the writer."""

KEPT = 65_536
"""The most bytes of one answer that are kept for `replay` and `late_answer`."""


class Direction(Enum):
    """Which way bytes go."""

    TO_DEVICE = "to device"
    TO_CLIENT = "to client"


class End(Protocol):
    """One side of a line: a socket or a pty."""

    async def receive(self) -> bytes:
        """At most PIECE bytes; b"" when the other side has finished."""

    def receive_now(self) -> bytes:
        """What has arrived already, at most PIECE bytes, without waiting."""

    async def send(self, data: bytes) -> None:
        """Hand over all of `data`."""


class LineCutError(Exception):
    """`cut_after` has come to its last byte.

    Attributes:
        by_reset: how to end the line.
    """

    def __init__(self, *, by_reset: bool) -> None:
        super().__init__("cut after the agreed number of bytes")
        self.by_reset = by_reset


class Faults:
    """What happens to the bytes on their way. Every switch works at once, on live lines too; `heal` undoes them all.

    A *request* is whatever the client sends after the device has spoken; its *answer* is what the device sends then.

    Attributes:
        counted: bytes delivered in each direction since the proxy was made.
    """

    def __init__(self) -> None:
        self.counted: Counter[Direction] = Counter()
        self._answer = b""  # of the last request, as far as it has come
        self._asked = True
        self._clear()

    def _clear(self) -> None:
        self._silent: set[Direction] = set()
        self._delay: dict[Direction, float] = {}
        self._pause: dict[Direction, float] = {}  # after every single byte
        self._garble: dict[Direction, tuple[float, random.Random]] = {}
        self._cut_after: dict[Direction, tuple[int, bool]] = {}
        self._substitute: tuple[bytes, bytes] | None = None
        self._replay = 0
        self._late: float | None = None
        self._late_is_armed = self._holding = False
        self._released = asyncio.Event()
        self._healed = asyncio.Event()

    @property
    def last_answer(self) -> bytes:
        """The device's last answer, as far as it is kept."""
        return self._answer

    # --- switches

    def silence(self, direction: Direction | None = None) -> None:
        """Swallow what is sent and keep everything open: the device hangs, or the cable carries nothing."""
        self._silent |= {direction} if direction else set(Direction)

    def delay(self, seconds: float, direction: Direction | None = None) -> None:
        """Hold every piece for `seconds` before it goes on."""
        self._delay |= dict.fromkeys([direction] if direction else Direction, seconds)

    def trickle(self, bytes_per_second: float, direction: Direction | None = None) -> None:
        """Let bytes through one at a time, at this rate."""
        self._pause |= dict.fromkeys([direction] if direction else Direction, 1 / bytes_per_second)

    def split(self, direction: Direction | None = None) -> None:
        """Let bytes through one at a time, as fast as the reader takes them."""
        self._pause |= dict.fromkeys([direction] if direction else Direction, 0.0)

    def garble(
        self, probability: float = 0.1, *, seed: int = 0, direction: Direction | None = Direction.TO_CLIENT
    ) -> None:
        """Flip one bit in each byte with this probability, in one byte of a piece at least.

        The same `seed` does the same again.
        """
        self._garble |= {each: (probability, random.Random(seed)) for each in ([direction] if direction else Direction)}

    def late_answer(self, seconds: float | None = None) -> None:
        """Hold the answer to the next request for `seconds` (None: until `release`), then deliver it, late."""
        self._late, self._late_is_armed, self._holding = seconds, True, False
        self._released = asyncio.Event()

    def release(self) -> None:
        """Deliver the answer that `late_answer` holds."""
        self._late_is_armed = False
        self._released.set()

    def replay(self, times: int = 1) -> None:
        """Keep the next requests from the device and give the previous answer again: a stale answer."""
        self._replay = times

    def substitute(self, answer: bytes, *, then_for_ever: bytes = b"") -> None:
        """Keep all requests from the device and answer each with `answer`, followed by `then_for_ever` without end."""
        self._substitute = (answer, then_for_ever)

    def cut_after(self, count: int, direction: Direction = Direction.TO_CLIENT, *, by_reset: bool = False) -> None:
        """Let `count` more bytes through in `direction`, over all lines together, then end the line they went over."""
        self._cut_after[direction] = (count, by_reset)

    def heal_line(self) -> None:
        """Undo every fault of this class; what is held is delivered."""
        self._released.set()
        self._healed.set()
        self._clear()

    # --- the way

    async def pump(self, source: End, sink: End, direction: Direction) -> None:
        """Carry bytes one way until the source has finished.

        Raises:
            LineCutError: `cut_after` says so.
            OSError: one side has broken.
        """
        carry = self._carry_request if direction is Direction.TO_DEVICE else self._carry_answer
        while data := await source.receive():
            if direction not in self._silent:
                await carry(source, sink, self._garbled(data, direction))
        if direction in self._silent:
            await self._healed.wait()  # the end of the stream is a message too

    async def _carry_request(self, client: End, device: End, data: bytes) -> None:
        if self._substitute:
            await self._answer_instead(client, *self._substitute)
        elif self._replay:
            self._replay -= 1
            await self._deliver(client, self._answer, Direction.TO_CLIENT)
        else:
            if self._late_is_armed:
                self._late_is_armed, self._holding = False, True
            self._asked = True
            await self._deliver(device, data, Direction.TO_DEVICE)

    async def _answer_instead(self, client: End, answer: bytes, then_for_ever: bytes) -> None:
        await self._deliver(client, answer, Direction.TO_CLIENT)
        piece = then_for_ever * (PIECE // len(then_for_ever)) if then_for_ever else b""
        while piece and self._substitute:
            await self._deliver(client, piece, Direction.TO_CLIENT)
            await asyncio.sleep(0)

    async def _carry_answer(self, device: End, client: End, data: bytes) -> None:
        if self._holding:
            self._holding = False
            with suppress(TimeoutError):
                async with asyncio.timeout(self._late):
                    await self._released.wait()
            while len(data) < KEPT and (more := device.receive_now()):  # the rest of the same answer
                data += more
        if self._asked:
            self._asked, self._answer = False, b""
        self._answer = (self._answer + data)[:KEPT]
        await self._deliver(client, data, Direction.TO_CLIENT)

    def _garbled(self, data: bytes, direction: Direction) -> bytes:
        if direction not in self._garble:
            return data
        probability, dice = self._garble[direction]
        chosen = {at for at in range(len(data)) if dice.random() < probability} or {dice.randrange(len(data))}
        return bytes(byte ^ (1 << dice.randrange(8)) if at in chosen else byte for at, byte in enumerate(data))

    async def _deliver(self, sink: End, data: bytes, direction: Direction) -> None:
        if seconds := self._delay.get(direction):
            await asyncio.sleep(seconds)
        cut = self._cut_after.get(direction)
        if cut:
            data, rest = data[: cut[0]], data[cut[0] :]
            self._cut_after[direction] = (cut[0] - len(data), cut[1])
        await self._send(sink, data, direction)
        if cut and (rest or cut[0] == len(data)):
            self._cut_after.pop(direction, None)
            raise LineCutError(by_reset=cut[1])

    async def _send(self, sink: End, data: bytes, direction: Direction) -> None:
        if direction not in self._pause:
            await sink.send(data)
            self.counted[direction] += len(data)
            return
        for byte in data:
            await sink.send(bytes([byte]))
            self.counted[direction] += 1
            await asyncio.sleep(self._pause.get(direction, 0.0))
            await asyncio.sleep(0)  # one turn for the selector, one for the reader
