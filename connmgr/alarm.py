"""One sleeper that anybody can wake."""

import asyncio
import math


class Alarm:
    """Wakes the one task that sleeps on it. A ring while nobody sleeps is remembered, so none is ever lost."""

    __slots__ = ("_loop", "_rung", "_sleeper")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sleeper: asyncio.Future[None] | None = None
        self._rung = False

    def ring(self) -> None:
        """Wake the sleeper, or let its next sleep end at once."""
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)
        else:
            self._rung = True

    async def sleep(self, until: float | None) -> None:
        """Until somebody rings, or until that time of the loop's clock. May end early: look around and sleep again."""
        if self._rung:
            self._rung = False
            return
        sleeper = self._sleeper = self._loop.create_future()
        timer = None
        if until is not None and until != math.inf:
            timer = self._loop.call_at(until, self.ring)
        try:
            await sleeper
        finally:
            if timer is not None:
                timer.cancel()
            self._sleeper = None
            self._rung = False
