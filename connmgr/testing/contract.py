"""The conformance kit: every promise of the plugin contract as a test, in one line of a plugin's test file.

    from connmgr.testing import contract_tests
    from connmgr_scale import ScaleConnection
    from connmgr_scale.simulator import ScaleSimulator

    TestContract = contract_tests(ScaleConnection, ScaleSimulator, exercise="read_weight")

Each rule runs against the author's own simulator, through a proxy that breaks the line.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from connmgr.connection import BaseConnection
from connmgr.testing import rules_calls, rules_lines, rules_options
from connmgr.testing.driver import ContractViolation, Exercise, LeftOut
from connmgr.testing.rig import Rig, Subject, rig
from connmgr.testing.simulator import Simulator

Rule = Callable[[Rig], Coroutine[Any, Any, None]]

RULES: Mapping[str, Rule] = {
    rule.__name__: rule for rule in (*rules_options.RULES, *rules_calls.RULES, *rules_lines.RULES)
}
"""Every rule by name. The first line of its docstring is the promise."""

RULE_TIMEOUT = 90.0  # seconds for one rule
LINGER = 1.0  # seconds that abandoned tasks get when a rule is over


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one rule.

    Attributes:
        rule: its name.
        passed: True, False, or None for a rule that was left out.
        detail: how the promise was broken, or why the rule was left out.
    """

    rule: str
    passed: bool | None
    detail: str = ""


def contract_tests(
    connection_class: type[BaseConnection[Any]],
    simulator_class: Callable[..., Simulator],
    *,
    config: Mapping[str, Any] | None = None,
    exercise: Exercise = None,
    excused: Mapping[str, str] | None = None,
    deadline: float = 5.0,
) -> type:
    """A test class for pytest with one test for each rule. Needs no pytest plugin.

    Args:
        connection_class: the plugin.
        simulator_class: its device; called with `port=0`.
        config: options laid over the simulator's own. Short timeouts here make the tests short.
        exercise: one exchange with the device, as the name of a method without arguments or as a (plain or async)
            function of the connection. It returns the answer, or raises. Without it the health check stands in.
        excused: rules that this connection does not keep, each with the reason; they become no test.
        deadline: seconds that a call may take.

    Raises:
        ValueError: `excused` names a rule that does not exist, or gives no reason.
    """
    subject = Subject(connection_class, simulator_class, dict(config or {}), exercise, deadline)
    chosen = _chosen(excused)
    tests = {f"test_{name}": _test(subject, rule) for name, rule in RULES.items() if name in chosen}
    return type("TestContract", (), {"__doc__": f"The contract, kept by {connection_class.__name__}.", **tests})


async def check_contract(
    connection_class: type[BaseConnection[Any]],
    simulator_class: Callable[..., Simulator],
    *,
    config: Mapping[str, Any] | None = None,
    exercise: Exercise = None,
    excused: Mapping[str, str] | None = None,
    deadline: float = 5.0,
) -> list[Verdict]:
    """The same without pytest: a verdict on every rule. Each rule runs in a thread and a loop of its own."""
    subject = Subject(connection_class, simulator_class, dict(config or {}), exercise, deadline)
    chosen = _chosen(excused)
    return [
        await asyncio.to_thread(_judge, subject, name, rule)
        if name in chosen
        else Verdict(name, None, (excused or {})[name])
        for name, rule in RULES.items()
    ]


def _chosen(excused: Mapping[str, str] | None) -> set[str]:
    for name, reason in (excused or {}).items():
        if name not in RULES:
            raise ValueError(f"cannot excuse from {name!r}: the rules are {', '.join(sorted(RULES))}")
        if not reason.strip():
            raise ValueError(f"cannot excuse from {name!r} without a reason")
    return set(RULES) - set(excused or {})


def _test(subject: Subject, rule: Rule) -> Callable[[Any], None]:
    def test(_: object) -> None:
        try:
            _run(_checked(subject, rule))
        except LeftOut as reason:
            print(f"nothing to check: {reason}")  # noqa: T201 - shown by `pytest -rP`

    test.__name__ = f"test_{rule.__name__}"
    test.__doc__ = rule.__doc__
    return test


def _judge(subject: Subject, name: str, rule: Rule) -> Verdict:
    try:
        _run(_checked(subject, rule))
    except LeftOut as reason:
        return Verdict(name, None, str(reason))
    except ContractViolation as broken:
        return Verdict(name, False, str(broken))
    except Exception as error:  # noqa: BLE001 - a simulator that does not start is a verdict too
        return Verdict(name, False, f"the rule could not be checked: {type(error).__name__}: {error}")
    return Verdict(name, True)


async def _checked(subject: Subject, rule: Rule) -> None:
    async with asyncio.timeout(RULE_TIMEOUT), rig(subject) as bench:
        await rule(bench)


def _run(coro: Coroutine[Any, Any, None]) -> None:
    """As asyncio.run, but a task that ignores its cancellation is abandoned instead of waited for."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(coro)
    finally:
        loop.run_until_complete(_wind_up())
        loop.run_until_complete(loop.shutdown_default_executor())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loop.close()


async def _wind_up() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=LINGER)
    for _ in range(3):  # asyncio closes sockets one round after they were told to
        await asyncio.sleep(0)
    await asyncio.get_running_loop().shutdown_asyncgens()
