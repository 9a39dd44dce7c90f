"""One lock for a link, whether it is used from the event loop or from threads."""

import asyncio
import threading
from collections import deque


class LinkLock:
    """Held by one exchange at a time, `async` or plain; who waits is served in the order of asking."""

    __slots__ = ("_guard", "_held", "_waiting", "holder")

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | threading.Event] = deque()
        self.holder: object = None  # the task, or the id of the thread, that holds it

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._held

    async def acquire(self) -> None:
        """Wait for it in the event loop; cancel to stop waiting."""
        with self._guard:
            if not self._held:
                self._held = True
                return
            loop = asyncio.get_running_loop()
            turn = loop.create_future()
            place = (loop, turn)
            self._waiting.append(place)
        try:
            await turn
        except BaseException:
            if not self._leave(place):
                self.release()  # it was handed over at the very moment
            raise

    def acquire_in_thread(self, timeout: float) -> bool:
        """Wait for it in a thread, for `timeout` seconds at most. Whether it was got."""
        with self._guard:
            if not self._held:
                self._held = True
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        return turn.wait(timeout) or not self._leave(turn)

    def release(self) -> None:
        """Hand it to whoever has waited longest."""
        with self._guard:
            self.holder = None
            while self._waiting:
                turn = self._waiting.popleft()
                if isinstance(turn, threading.Event):
                    turn.set()
                    return
                loop, future = turn
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_hand_over, future)
                    return
            self._held = False

    def _leave(self, turn: "tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | threading.Event") -> bool:
        """Give one's place up; False when the lock had been handed over already."""
        with self._guard:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return True
            return False


def _hand_over(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
