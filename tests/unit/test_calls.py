"""Whatever a plugin does inside a call, the call ends as an outcome; async and plain methods alike."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connmgr import AuthError, ContractError
from connmgr.alarm import Alarm
from connmgr.calls import CANCEL_GRACE, CallThread, Outcome, PluginCalls
from connmgr.errors import Kind
from connmgr.link import Told
from connmgr.testing import VirtualTimeLoop
from tests.unit.behaviours import StrangeError, Undecided, UnreadableError, _nothing
from tests.unit.scripted import Scripted, Stubborn, hang, virtually


class Both(Scripted):
    """Its connect is async, its health_check plain; both do the same."""

    deed: Callable[[], Any]

    async def connect(self) -> Any:
        return self.deed()

    def health_check(self) -> Any:
        return self.deed()


def raises(error: BaseException | type[BaseException]) -> Callable[[], Any]:
    def deed() -> Any:
        raise error

    return deed


def outcome_of(connection: Scripted, method: str, timeout: float = 5.0) -> Outcome:
    """Make one call in virtual time."""

    async def scenario() -> Outcome | None:
        calls = PluginCalls(connection)
        try:
            return await calls.call(method, timeout, Alarm(), None)
        finally:
            calls.release()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        outcome = runner.run(scenario())
    assert outcome is not None
    return outcome


def deep() -> Any:
    return deep()


@pytest.mark.parametrize("method", ["connect", "health_check"])
@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (raises(StrangeError), "StrangeError"),
        (raises(SystemExit(0)), "SystemExit: 0"),
        (raises(KeyboardInterrupt), "KeyboardInterrupt"),
        (raises(GeneratorExit), "GeneratorExit"),
        (raises(StopIteration(5)), "StopIteration"),
        (raises(MemoryError), "MemoryError"),
        (deep, "RecursionError: maximum recursion depth exceeded"),
        (raises(asyncio.CancelledError), "() ended as cancelled though nobody had cancelled it"),
        (raises(UnreadableError()), "UnreadableError: its text cannot be read"),
        (raises(ValueError("x" * 10_000_000)), "ValueError: xxx"),
        (lambda: None, "() returned None where True or False was promised"),
        (lambda: 1, "() returned an object of type int where True or False was promised"),
        (lambda: "yes", "an object of type str"),
        (Undecided, "an object of type Undecided"),
        (_nothing, "an object of type coroutine"),
        (lambda: threading, "an object of type module"),
    ],
)
def test_bugs(method: str, deed: Callable[[], Any], reason: str) -> None:
    """What no device explains is a bug of the plugin's, told in one short line."""
    connection = Both()
    connection.deed = deed
    failure = outcome_of(connection, method).failure
    assert failure is not None
    assert failure.kind is Kind.BUG
    assert failure.layer == "plugin"
    assert reason in failure.reason
    assert len(failure.reason) <= 500


def test_causes_in_a_circle() -> None:
    """An exception that is its own cause's cause does not lead us round for ever."""
    one, two = ValueError("one"), OSError("two")
    one.__cause__, two.__cause__ = two, one
    connection = Both()
    connection.deed = raises(one)
    failure = outcome_of(connection, "connect").failure
    assert failure is not None
    assert failure.reason == "ValueError: one"
    assert "ValueError: one" in (failure.details or "")


@pytest.mark.parametrize("method", ["connect", "health_check"])
def test_true_and_false(method: str) -> None:
    """True is success; False a failure, with the plugin's own last_error as the reason if it has just set one."""
    connection = Both()
    connection.deed = lambda: True
    assert outcome_of(connection, method).failure is None
    connection.deed = lambda: False
    failure = outcome_of(connection, method).failure
    assert failure is not None
    assert failure.reason == f"{method}() returned False without saying why"
    assert failure.kind is Kind.TRANSIENT
    connection.last_error = "the scale is frozen"
    failure = outcome_of(connection, method).failure
    assert failure is not None
    assert failure.reason == "the scale is frozen"
    connection.last_error = Told("said by the supervisor at the attempt before")
    failure = outcome_of(connection, method).failure
    assert failure is not None
    assert "without saying why" in failure.reason


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AuthError("no"), Kind.PERMANENT),
        (OSError("no"), Kind.TRANSIENT),
        (TimeoutError(), Kind.TRANSIENT),
        (EOFError(), Kind.TRANSIENT),
        (ContractError("no"), Kind.BUG),
    ],
)
def test_kinds(error: BaseException, kind: Kind) -> None:
    """The type of an exception says what happens next."""
    connection = Both()
    connection.deed = raises(error)
    failure = outcome_of(connection, "connect").failure
    assert failure is not None
    assert failure.kind is kind


def test_a_deadline() -> None:
    """A call that hangs is cancelled at its deadline."""
    connection = Scripted()
    connection.on_connect = hang
    failure = outcome_of(connection, "connect", 3).failure
    assert failure is not None
    assert (failure.reason, failure.layer) == ("connect() did not end within 3 s", "deadline")


@virtually
async def test_a_zombie() -> None:
    """A call that eats its cancellation is left behind after a moment; what it says later is thrown away."""
    connection = Scripted()
    connection.on_connect = stubborn = Stubborn()
    calls, alarm = PluginCalls(connection), Alarm()
    loop = asyncio.get_running_loop()
    start = loop.time()
    outcome = await calls.call("connect", 3, alarm, None)
    assert loop.time() - start == pytest.approx(3 + CANCEL_GRACE)
    assert outcome is not None
    assert outcome.failure is not None
    assert calls.stuck is not None
    with pytest.raises(RuntimeError, match="under way"):
        calls.start("disconnect", alarm.ring)
    stubborn.let_go.set()
    await asyncio.sleep(0.01)
    assert not calls.stuck
    assert outcome.failure.layer == "deadline"


@virtually
async def test_an_interruption() -> None:
    """A command cuts a call short, and there is no outcome then."""
    connection = Scripted()
    connection.on_connect = hang
    calls, alarm, wanted = PluginCalls(connection), Alarm(), [True]
    loop = asyncio.get_running_loop()
    loop.call_later(1, wanted.clear)
    loop.call_later(1, alarm.ring)
    start = loop.time()
    assert await calls.call("connect", 30, alarm, lambda: not wanted) is None
    assert loop.time() - start == pytest.approx(1)
    assert calls.stuck is None


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_blocking_method(release: threading.Event) -> None:
    """A plain method that blocks costs its own thread; the caller goes on at the deadline, and one zombie is known."""

    class Blocking(Scripted):
        def connect(self) -> bool:  # type: ignore[override]
            return release.wait(20)

    async def scenario() -> None:
        calls = PluginCalls(Blocking())
        start = time.monotonic()
        outcome = await calls.call("connect", 0.1, Alarm(), None)
        assert time.monotonic() - start < 2
        assert outcome is not None
        assert outcome.failure is not None
        assert calls.stuck is not None
        release.set()
        while calls.stuck:
            await asyncio.sleep(0.01)
        calls.release()

    asyncio.run(scenario())


def test_plain_methods_run_in_one_thread_of_their_own() -> None:
    """All plain calls of a session share a thread, which is not the loop's: drivers may be bound to theirs."""
    seen: list[threading.Thread] = []

    class Plain(Scripted):
        def connect(self) -> bool:  # type: ignore[override]
            seen.append(threading.current_thread())
            return True

        health_check = disconnect = connect  # type: ignore[assignment]

    async def scenario() -> None:
        calls = PluginCalls(Plain())
        for method in ("connect", "health_check", "disconnect"):
            await calls.call(method, 5, Alarm(), None)
        calls.release()

    asyncio.run(scenario())
    assert len(set(seen)) == 1
    assert seen[0] is not threading.main_thread()
    assert seen[0].name == "connmgr[press]"
    assert seen[0].daemon


def test_a_call_thread_survives_everything() -> None:
    """What raises in the thread ends up in its future."""
    thread = CallThread("test")
    failed = thread.submit(raises(SystemExit))
    assert isinstance(failed.exception(5), SystemExit)
    assert thread.submit(lambda: 7).result(5) == 7
    thread.shutdown()


def test_two_instances_that_share_a_default() -> None:
    """A mutable default that a plugin's instances share is theirs; stats, options and status are each one's own."""

    class Sharing(Scripted):
        shared: list[int] = []  # noqa: RUF012 - the mistake this is about

    one, two = Sharing("one"), Sharing("two")
    one.shared.append(1)
    one.update_stats(packets_sent=5)
    one.last_error = "mine"
    assert two.shared == [1]
    assert two.stats["packets_sent"] == 0
    assert two.last_error is None
