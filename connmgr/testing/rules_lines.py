"""Contract rules about lines that break: silence, loss, late, cut, garbled and endless answers."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from pathlib import Path

from connmgr.errors import Kind, describe, judge
from connmgr.testing.driver import ContractViolation, Driver, Ended, LeftOut
from connmgr.testing.fault_proxy import FaultProxy
from connmgr.testing.faults import Direction
from connmgr.testing.rig import Rig

NOTICED_WITHIN = 1.0  # seconds after the peer's FIN
OFFSETS = 32  # places within one answer at which the line is cut
GARBLINGS = 20  # answers spoilt in different places
ENOUGH = 8  # of these, when they take longer than
TIME = 2.0  # seconds
MEMORY = 48 * 1024 * 1024  # bytes that an endless answer may cost


async def health_check_sees_a_silent_peer(rig: Rig) -> None:
    """With a half-open line health_check() is never True, and ends at its deadline."""
    async with rig.session() as driver:
        rig.proxy.silence()
        ended = await driver.health_check(deadline=1.0)
        rig.proxy.heal()
    if ended.value is True:
        raise ContractViolation("health_check() is True though the peer says nothing any more")
    if ended.cancelled and ended.error is None:
        raise ContractViolation(f"health_check() swallows its cancellation: it {ended}")


async def health_check_sees_a_closed_line(rig: Rig) -> None:
    """After the peer has closed or reset the line, health_check() is not True."""
    for how in ("closed", "reset"):
        async with rig.session() as driver:
            if how == "reset" and isinstance(rig.proxy, FaultProxy):
                rig.proxy.reset()
            else:
                rig.proxy.cut()
            rig.proxy.refuse()  # a health check that dials anew checks another line
            await asyncio.sleep(0.05)
            ended = await driver.health_check()
        rig.proxy.heal()
        if ended.value is True:
            raise ContractViolation(f"health_check() is True after the peer has {how} the line")


async def a_lost_line_is_reported(rig: Rig) -> None:
    """When the peer closes or resets the line, the connection says so by itself within a second."""
    if not rig.subject.is_async:
        raise LeftOut("plain methods have nobody who watches the line")
    for how in ("closes", "resets"):
        async with rig.session() as driver:
            await rig.exercise(driver)
            if how == "resets" and isinstance(rig.proxy, FaultProxy):
                rig.proxy.reset()
            else:
                rig.proxy.cut()
            noticed = await driver.hears_of_a_loss(NOTICED_WITHIN)
        rig.proxy.heal()
        if not noticed:
            raise ContractViolation(
                f"{NOTICED_WITHIN:g} s after the peer {how} the line connection_lost() has not been called"
            )


async def an_unanswered_exchange_ends_by_itself(rig: Rig) -> None:
    """An exchange whose answer never comes ends with an error without anybody's help."""
    if rig.subject.exercise is None:
        raise LeftOut("no exercise was given")
    async with rig.session() as driver:
        await rig.requires_exchange(driver)
        rig.proxy.silence()
        ended = await rig.exercise(driver)
        rig.proxy.heal()
    if ended.cancelled:
        raise ContractViolation(f"an exchange that gets no answer is still waiting after {driver.deadline:g} s")
    if ended.error is None:
        raise ContractViolation(f"an exchange that got no answer {ended}")
    _no_bug("no answer", ended)


async def a_late_answer_is_not_taken_for_the_next_one(rig: Rig) -> None:
    """An answer that comes after its request was given up never answers another request of that session."""
    async with rig.session() as driver:
        await rig.requires_exchange(driver)
    for first, second in (("exercise", "exercise"), ("exercise", "health_check"), ("health_check", "exercise")):
        async with rig.session(driver):
            await _give_up(rig, driver, first)
            rig.proxy.silence(Direction.TO_CLIENT)  # from here on only the late answer gets through
            rig.proxy.release()
            await asyncio.sleep(0.05)
            await _ask_again(rig, driver, second, f"the late answer to the {first} before it")
            rig.proxy.heal()


async def a_late_answer_does_not_outlive_its_session(rig: Rig) -> None:
    """An answer that comes between two sessions never answers a request of the second."""
    async with rig.session() as driver:
        await rig.requires_exchange(driver)
    async with rig.session(driver):
        await _give_up(rig, driver, "exercise")
    rig.proxy.release()
    await asyncio.sleep(0.05)
    for _ in range(3):  # the stale bytes may cost one attempt
        ended = await driver.connect()
        if ended.value is True:
            break
        await driver.disconnect()
    else:
        raise ContractViolation(f"after a late answer between two sessions connect() {ended}")
    rig.proxy.silence(Direction.TO_CLIENT)
    await _ask_again(rig, driver, "exercise", "an answer that came in before the session began")
    rig.proxy.heal()
    await driver.disconnect()


async def _give_up(rig: Rig, driver: Driver, what: str) -> None:
    """Ask, with the answer held back, and cancel."""
    rig.proxy.late_answer()
    ended = await _ask(rig, driver, what, deadline=min(0.3, driver.deadline))
    if what == "exercise" and ended.error is None:
        raise ContractViolation(f"an exchange whose answer was held back {ended}")


async def _ask_again(rig: Rig, driver: Driver, what: str, instead: str) -> None:
    before = await rig.asked()
    ended = await _ask(rig, driver, what)
    answered = ended.value is True if what == "health_check" else ended.error is None
    if answered and await rig.asked() > before:
        raise ContractViolation(f"the {what} took {instead} for its own: it {ended}. Use `async with self.exchange(…)`")


async def _ask(rig: Rig, driver: Driver, what: str, *, deadline: float | None = None) -> Ended:
    if what == "health_check":
        return await driver.health_check(deadline=deadline)
    return await rig.exercise(driver, deadline=deadline)


async def an_answer_in_single_bytes_is_an_answer(rig: Rig) -> None:
    """An answer that arrives byte by byte is the same answer."""
    async with rig.session() as driver:
        whole = [await rig.exercise(driver) for _ in range(2)]
    rig.proxy.split()
    async with rig.session(driver):
        split, health = await rig.exercise(driver), await driver.health_check()
    if split.error is not None:
        raise ContractViolation(f"the exercise, answered byte by byte, {split}")
    if health.value is not True:
        raise ContractViolation(f"health_check(), answered byte by byte, {health}")
    if _same(whole[0].value, whole[1].value) and not _same(whole[0].value, split.value):
        raise ContractViolation(f"the exercise, answered byte by byte, {split}, and answered at once {whole[0]}")


def _same(one: object, other: object) -> bool:
    return repr(one) == repr(other)


async def a_line_cut_within_an_answer_is_a_transient_failure(rig: Rig) -> None:
    """Cut (FIN or RST) at any byte of the answer, an exchange fails at once, and the next session works."""
    async with rig.session() as driver:
        await rig.requires_exchange(driver)
        before = rig.proxy.counted[Direction.TO_CLIENT]
        await rig.exercise(driver)
        length = rig.proxy.counted[Direction.TO_CLIENT] - before
    began = time.monotonic()
    for count, offset in enumerate(_spread(length)):
        if count >= ENOUGH and time.monotonic() - began > TIME:
            break
        async with rig.session(driver):
            before = rig.proxy.counted[Direction.TO_CLIENT]
            rig.proxy.cut_after(offset, by_reset=bool(offset % 2))
            ended = await rig.exercise(driver)
            came = rig.proxy.counted[Direction.TO_CLIENT] - before
        rig.proxy.heal()
        if ended.error is None and came >= offset + length:
            continue  # asked again on another line, and answered in full
        where = f"with the line cut after {offset} of {length} bytes of the answer"
        if ended.cancelled:
            raise ContractViolation(f"an exchange {where} is still waiting after {driver.deadline:g} s")
        if ended.error is None:
            raise ContractViolation(f"an exchange {where} {ended}")
        if (kind := judge(ended.error).kind) is not Kind.TRANSIENT:
            raise ContractViolation(f"an exchange {where} is a {kind.value} failure: {describe(ended.error)}")


def _spread(length: int) -> list[int]:
    """At most OFFSETS places, the first ones far from each other: both ends, the middle, and so on."""
    places = list(range(0, length, max(1, length // OFFSETS)))
    places += [length - 1] if length and places[-1] != length - 1 else []
    step = len(places)
    chosen: dict[int, None] = {}
    while step:
        chosen |= dict.fromkeys([*places[::step], places[-1]])
        step //= 2
    return list(chosen)


async def a_garbled_answer_is_not_a_bug(rig: Rig) -> None:
    """Nonsense from the device ends in an answer or an error of connmgr, not in a hang or a Python error."""
    async with rig.session() as driver:
        await rig.requires_exchange(driver)
    began = time.monotonic()
    for seed in range(GARBLINGS):
        if seed >= ENOUGH and time.monotonic() - began > TIME:
            break
        probability = (1.0, 0.2, 0.0, 0.0)[seed % 4]  # 0.0 still flips one bit of each piece: the hardest to see
        async with rig.session(driver):
            rig.proxy.garble(probability, seed=seed)
            ended = await rig.exercise(driver)
            rig.proxy.heal()
        if ended.cancelled:
            raise ContractViolation(f"an exchange with a garbled answer still waits after {driver.deadline:g} s")
        _no_bug(f"a garbled answer (seed {seed})", ended)


async def an_endless_answer_is_bounded(rig: Rig) -> None:
    """An answer that never ends is given up, in bounded time and memory."""
    async with rig.session() as driver:
        await rig.requires_exchange(driver)
        await rig.exercise(driver)
    start = rig.proxy.last_answer
    for answer, then in ((b"", b"\xff"), (start[: len(start) // 2], b"0"), (b"", b"\x00")):
        async with rig.session(driver):
            rig.proxy.substitute(answer, then_for_ever=then)
            ended, grown = await _with_memory_watched(rig, driver)
            rig.proxy.heal()
            rig.proxy.cut()
        rig.proxy.heal()
        what = f"an answer of {answer[:8]!r}… and then {then!r} without end"
        if grown > MEMORY:
            raise ContractViolation(f"{what} costs {grown >> 20} MiB of memory: give it a limit")
        if ended.cancelled:
            raise ContractViolation(f"an exchange with {what} still waits after {driver.deadline:g} s")
        if ended.error is None:
            raise ContractViolation(f"an exchange with {what} {ended}")
        _no_bug(what, ended)


async def _with_memory_watched(rig: Rig, driver: Driver) -> tuple[Ended, int]:
    gc.collect()
    before, grown = _memory(), 0
    task = asyncio.create_task(rig.exercise(driver), name="contract endless answer")
    while not task.done():
        await asyncio.wait({task}, timeout=0.05)
        grown = max(grown, _memory() - before)
        if grown > MEMORY:
            rig.proxy.heal_line()
            rig.proxy.cut()
    return task.result(), grown


def _memory() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def _no_bug(what: str, ended: Ended) -> None:
    if ended.error is not None and judge(ended.error).kind is Kind.BUG:
        raise ContractViolation(f"{what} ends in a Python error, not in one of connmgr's: {describe(ended.error)}")


RULES = [
    health_check_sees_a_silent_peer,
    health_check_sees_a_closed_line,
    a_lost_line_is_reported,
    an_unanswered_exchange_ends_by_itself,
    a_late_answer_is_not_taken_for_the_next_one,
    a_late_answer_does_not_outlive_its_session,
    an_answer_in_single_bytes_is_an_answer,
    a_line_cut_within_an_answer_is_a_transient_failure,
    a_garbled_answer_is_not_a_bug,
    an_endless_answer_is_bounded,
]
