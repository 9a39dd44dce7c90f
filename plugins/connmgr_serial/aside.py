"""Blocking calls beside the event loop: a driver may take its time over opening and closing a port."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from connmgr import TransientError

T = TypeVar("T")


class Aside:
    """Runs one blocking call at a time, each in a new thread, so that a stuck one is the only one and holds up nobody.

    The event loop's own pool would not do: it is small, and everybody shares it.
    """

    def __init__(self) -> None:
        self._stuck_in: str | None = None

    async def run(self, what: str, work: Callable[[], T], discard: Callable[[T], object] = lambda _: None) -> T:
        """Call `work`. If this is cancelled, the call goes on alone, and `discard` gets what it returns.

        Args:
            what: the call in words, which is also the thread's name.

        Raises:
            TransientError: the call before has not come back yet.
        """
        if self._stuck_in is not None:
            raise TransientError(f"cannot {what}: the driver hangs (in: {self._stuck_in}); unplug the adapter")
        self._stuck_in = what
        call = _Call(self, what, work, discard)
        threading.Thread(target=call.run, name=what, daemon=True).start()
        try:
            return await call.done
        except asyncio.CancelledError:
            call.cancelled()
            raise

    def returned(self) -> None:
        """The call has come back; told in its thread, before its result is."""
        self._stuck_in = None


class _Call(Generic[T]):
    """Brings what a thread returns to the loop, or throws it away when nobody waits for it any more."""

    def __init__(self, aside: Aside, what: str, work: Callable[[], T], discard: Callable[[T], object]) -> None:
        self._aside = aside
        self._what = what
        self._work = work
        self._discard = discard
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[T] = self._loop.create_future()

    def run(self) -> None:
        """In the thread."""
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - it belongs to the one who waits
            self._aside.returned()
            self._call_soon(self._fail, error)
        else:
            self._aside.returned()
            if not self._call_soon(self._succeed, result):
                self._discard(result)

    def cancelled(self) -> None:
        """The one who waited was cancelled, perhaps in the very round of the loop in which the result arrived."""
        if self.done.done() and not self.done.cancelled() and self.done.exception() is None:
            self._throw_away(self.done.result())

    def _call_soon(self, function: Callable[[Any], None], argument: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:  # the loop has been closed meanwhile
            return False
        return True

    def _succeed(self, result: T) -> None:
        if self.done.cancelled():
            self._throw_away(result)
        else:
            self.done.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if not self.done.cancelled():
            self.done.set_exception(error)

    def _throw_away(self, result: T) -> None:
        threading.Thread(target=self._discard, args=(result,), name=f"{self._what}, for nobody", daemon=True).start()
