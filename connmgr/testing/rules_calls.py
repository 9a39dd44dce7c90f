"""Contract rules about the calls themselves: construction, answers, order, cancellation."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from connmgr.errors import ConnmgrError, Kind, describe, judge
from connmgr.testing.driver import ContractViolation, Driver, Ended, LeftOut
from connmgr.testing.fault_proxy import FaultProxy
from connmgr.testing.rig import Rig

SESSIONS = 20
POINTS = 100
LOOP_MAY_PAUSE = 0.3  # seconds; opening a socket or a port takes none of them

_IMPORT_QUIETLY = """
import sys, threading
def hook(event, args):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.fork"):
        print("it does", event, str(args[1:])[:80])
sys.addaudithook(hook)
before = set(threading.enumerate())
__import__(sys.argv[1])
print(*[f"it starts the thread {t.name!r}" for t in set(threading.enumerate()) - before], sep="\\n")
"""


async def importing_and_constructing_have_no_side_effects(rig: Rig) -> None:
    """Importing the module and constructing the class opens nothing and starts nothing."""
    module = rig.subject.connection_class.__module__
    if module not in ("__main__", "builtins") and _can_be_found(module):
        found = await asyncio.to_thread(_imported_elsewhere, module)
        if found:
            raise ContractViolation(f"importing {module} has side effects: {found}")
    rig.driver()  # what modules and models do once is not counted
    await asyncio.sleep(0.05)
    rig.take_stock()
    accepted = rig.proxy.accepted if isinstance(rig.proxy, FaultProxy) else 0
    rig.driver()
    assert rig.leftovers
    left = rig.leftovers.right_now()
    await asyncio.sleep(0.05)
    if isinstance(rig.proxy, FaultProxy) and rig.proxy.accepted != accepted:
        left.append("a connection to the device")
    if left:
        raise ContractViolation(f"constructing has side effects: {'; '.join(left)}")


def _can_be_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _imported_elsewhere(module: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", _IMPORT_QUIETLY, module],
        capture_output=True, text=True, timeout=30, check=False, env=environment,
    )  # fmt: skip
    return done.stdout.strip() or (done.stderr.strip()[-300:] if done.returncode else "")


async def answers_are_real_bools(rig: Rig) -> None:
    """The four methods answer True or False and nothing else, and is_connected() follows connect and disconnect."""
    driver = rig.driver()
    answers: list[tuple[str, object, bool]] = [
        ("is_connected() before connect()", driver.connection.is_connected(), False)
    ]
    try:
        answers.append(("connect()", _value(await driver.connect(), "connect()"), True))
        answers.append(("is_connected() after connect()", driver.connection.is_connected(), True))
        answers.append(("health_check()", _value(await driver.health_check(), "health_check()"), True))
    finally:
        ended = await driver.disconnect()
    answers.append(("disconnect()", _value(ended, "disconnect()"), True))
    answers.append(("is_connected() after disconnect()", driver.connection.is_connected(), False))
    for name, answer, expected in answers:
        if answer is not expected:
            raise ContractViolation(f"{name} must be {expected} with a healthy device, and is {answer!r}")


def _value(ended: Ended, name: str) -> object:
    if ended.error is not None:
        raise ContractViolation(f"{name} with a healthy device {ended}")
    return ended.value


async def disconnect_is_always_safe(rig: Rig) -> None:
    """disconnect() answers without connect(), twice in a row, and after a connect() that failed."""
    driver = rig.driver()
    _disconnected("before any connect()", await driver.disconnect())
    await driver.connect()
    _disconnected("after connect()", await driver.disconnect())
    _disconnected("a second time", await driver.disconnect())
    rig.proxy.refuse()
    await driver.connect()
    _disconnected("after a connect() that failed", await driver.disconnect())
    rig.proxy.heal()


def _disconnected(when: str, ended: Ended) -> None:
    if not isinstance(ended.value, bool):
        raise ContractViolation(f"disconnect() {when} {ended}")


async def the_same_object_connects_again(rig: Rig) -> None:
    """Three sessions with one object; none reports a loss that did not happen."""
    driver = rig.driver()
    for session in range(1, 4):
        async with rig.session(driver):
            health, answer = await driver.health_check(), await rig.exercise(driver)
            if health.value is not True or answer.error is not None:
                bad = f"health_check() {health}" if health.value is not True else f"the exercise {answer}"
                raise ContractViolation(f"session {session} of the same object: {bad}")
        await asyncio.sleep(0.02)
        if driver.losses:
            raise ContractViolation(f"session {session} reported a loss that did not happen: {driver.losses[0]}")


async def a_dead_link_refuses_exchanges(rig: Rig) -> None:
    """Before connect() and after disconnect() an exchange raises an error of connmgr at once."""
    if rig.subject.exercise is None:
        raise LeftOut("no exercise was given")
    driver = rig.driver()
    for when in ("before connect()", "after disconnect()"):
        ended = await rig.exercise(driver)
        if not isinstance(ended.error, ConnmgrError) or ended.cancelled:
            raise ContractViolation(f"an exchange {when} must raise NotConnectedError, but it {ended}")
        async with rig.session(driver):
            pass


async def a_refused_connect_says_where(rig: Rig) -> None:
    """A device that is away is a transient failure, told at once, and its text names the endpoint."""
    rig.proxy.refuse()
    driver = rig.driver()
    ended = await driver.connect()
    await driver.disconnect()
    if ended.cancelled:
        raise ContractViolation(f"connect() to a refused port takes more than {driver.deadline:g} s")
    said = str(driver.connection.last_error or "")
    if ended.error is not None:
        failure, said = judge(ended.error), describe(ended.error)
        if failure.kind is not Kind.TRANSIENT:
            raise ContractViolation(f"a device that is away is a {failure.kind.value} failure here: {said}")
    elif ended.value is not False:
        raise ContractViolation(f"connect() to a refused port {ended}")
    endpoint = str(rig.proxy.port if isinstance(rig.proxy, FaultProxy) else rig.proxy.path)
    if endpoint not in said:
        raise ContractViolation(f"the failure of connect() does not name {endpoint}: {said!r}")


async def a_silent_peer_holds_nothing(rig: Rig) -> None:
    """connect() to a peer that accepts and says nothing ends when it is cancelled, and leaves nothing."""
    await rig.warm_up()
    if isinstance(rig.proxy, FaultProxy):
        rig.proxy.accept_then_silence()
    else:
        rig.proxy.silence()
    driver = rig.driver()
    ended = await driver.connect(deadline=min(0.5, driver.deadline))
    if ended.cancelled and ended.error is None:
        raise ContractViolation("connect() swallows its cancellation: it returned as if nothing had happened")
    await driver.disconnect()
    await rig.nothing_left("a connect() to a silent peer")


def _cancelled_everywhere(
    what: str, call: Callable[[Rig, Driver, int], Coroutine[Any, Any, Ended]]
) -> Callable[[Rig], Coroutine[Any, Any, None]]:
    async def check(rig: Rig) -> None:
        if not rig.subject.is_async:
            raise LeftOut("plain methods cannot be cancelled")
        await rig.warm_up()
        driver = rig.driver()
        for point in range(POINTS):
            ended = await call(rig, driver, point)
            hit = driver.hit
            closed = await driver.disconnect()
            if hit and ended.error is None:
                raise ContractViolation(
                    f"{what} swallows a cancellation at its suspension {point}: it {ended}."
                    " (asyncio.wait_for of Python 3.11 does so when the result is there in the same moment:"
                    " look at asyncio.current_task().cancelling() after libraries that use it.)"
                )
            _disconnected(f"after {what} was cancelled at its suspension {point}", closed)
            await rig.nothing_left(f"{what}, cancelled at its suspension {point}, then disconnect(),")
            if not hit:
                break
        async with rig.session(driver):
            ended = await driver.health_check()
            if ended.value is not True:
                raise ContractViolation(f"after cancelled calls of {what} the same object is not usable: it {ended}")

    return check


async def connect_can_be_cancelled_anywhere(rig: Rig) -> None:
    """connect(), cancelled at every single await and then disconnected, leaves no task, thread or file."""
    await _cancelled_everywhere("connect()", lambda _, driver, point: driver.connect(cancel_at=point))(rig)


async def health_check_can_be_cancelled_anywhere(rig: Rig) -> None:
    """health_check(), cancelled at every single await and then disconnected, leaves nothing."""

    async def call(_: Rig, driver: Driver, point: int) -> Ended:
        await driver.connect()
        return await driver.health_check(cancel_at=point)

    await _cancelled_everywhere("health_check()", call)(rig)


async def an_exchange_can_be_cancelled_anywhere(rig: Rig) -> None:
    """The exercise, cancelled at every single await and then disconnected, leaves nothing."""
    if rig.subject.exercise is None:
        raise LeftOut("no exercise was given")

    async def call(rig: Rig, driver: Driver, point: int) -> Ended:
        await driver.connect()
        return await rig.exercise(driver, cancel_at=point)

    await _cancelled_everywhere("an exchange", call)(rig)


async def many_sessions_leave_nothing(rig: Rig) -> None:
    """After 20 sessions there are as many tasks, threads and open files as before."""
    await rig.warm_up()
    driver = rig.driver()
    for _ in range(SESSIONS):
        async with rig.session(driver):
            await driver.health_check()
            await rig.exercise(driver)
    await rig.nothing_left(f"{SESSIONS} sessions")


async def the_event_loop_is_never_blocked(rig: Rig) -> None:
    """No async method holds up the loop, not even with a peer that is silent or away."""
    if not any(
        inspect.iscoroutinefunction(getattr(rig.subject.connection_class, name))
        for name in ("connect", "disconnect", "health_check")
    ):
        raise LeftOut("plain methods run in a thread")
    await rig.warm_up()
    for _ in range(3):  # the machine may be busy; a plugin that blocks does so each time
        pauses: dict[str, float] = {}
        await _measure(rig, pauses)
        worst = max(pauses, key=lambda what: pauses[what], default="nothing")
        if pauses.get(worst, 0.0) < LOOP_MAY_PAUSE:
            return
    raise ContractViolation(f"{worst} blocks the event loop for {pauses[worst]:.1f} s")


async def _measure(rig: Rig, pauses: dict[str, float]) -> None:
    loop = asyncio.get_running_loop()
    what = "connect()"

    async def beat() -> None:
        while True:
            began = loop.time()
            await asyncio.sleep(0.01)
            pauses[what] = max(pauses.get(what, 0.0), loop.time() - began - 0.01)

    heart = asyncio.create_task(beat(), name="contract heart beat")
    driver = rig.driver()
    try:
        await driver.connect()
        rig.proxy.silence()
        what = "health_check() with a silent peer"
        await driver.health_check(deadline=0.6)
        what = "an exchange with a silent peer"
        await rig.exercise(driver, deadline=0.6)
        what = "disconnect()"
        await driver.disconnect()
        what = "connect() to a silent peer"
        await driver.connect(deadline=0.6)
        what = "disconnect() from a silent peer"
        await driver.disconnect()
        rig.proxy.refuse()
        what = "connect() to a peer that is away"
        await driver.connect(deadline=0.6)
        await driver.disconnect()
    finally:
        rig.proxy.heal()
        heart.cancel()


RULES = [
    importing_and_constructing_have_no_side_effects,
    answers_are_real_bools,
    disconnect_is_always_safe,
    the_same_object_connects_again,
    a_dead_link_refuses_exchanges,
    a_refused_connect_says_where,
    a_silent_peer_holds_nothing,
    connect_can_be_cancelled_anywhere,
    health_check_can_be_cancelled_anywhere,
    an_exchange_can_be_cancelled_anywhere,
    many_sessions_leave_nothing,
    the_event_loop_is_never_blocked,
]
