"""The conformance kit finds each broken promise, and finds nothing where all are kept."""

from __future__ import annotations

import asyncio
import gc
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connmgr import BaseConnection
from connmgr.testing import CancelAt, FaultProxy, PtyFaultProxy, Verdict, check_contract, contract_tests, put_between
from connmgr.testing.contract import RULES
from tests.integration import bad_connections as bad
from tests.integration.line_device import LineConnection, LineSimulator

TestGoodConnection = contract_tests(LineConnection, LineSimulator, exercise="echo")
TestGoodPlainConnection = contract_tests(bad.PlainConnection, LineSimulator, exercise="echo")

CAUGHT_BY: dict[str, list[type[BaseConnection[Any]]]] = {
    "options_are_described_and_round_trip": [bad.HasBareOptions],
    "secrets_do_not_show": [bad.TellsItsPassword, bad.LogsItsPassword, bad.PlainWithASecretInItsStatus],
    "two_connections_share_nothing": [bad.SharesItsStateWithItsClass],
    "importing_and_constructing_have_no_side_effects": [
        bad.DialsInItsConstructor,
        bad.StartsAThreadInItsConstructor,
    ],
    "answers_are_real_bools": [bad.IsConnectedReturnsAnObject, bad.DisconnectReturnsNone],
    "disconnect_is_always_safe": [bad.CannotDisconnectTwice, bad.DisconnectReturnsNone],
    "the_same_object_connects_again": [bad.WorksOnce],
    "a_dead_link_refuses_exchanges": [bad.AnswersWithoutALink],
    "a_refused_connect_says_where": [bad.FailsVaguely, bad.GivesUpForGood],
    "a_silent_peer_holds_nothing": [bad.LeaksASocketOnCancel, bad.IgnoresCancellation],
    "connect_can_be_cancelled_anywhere": [bad.LeaksASocketOnCancel],
    "health_check_can_be_cancelled_anywhere": [bad.SwallowsCancellation],
    "an_exchange_can_be_cancelled_anywhere": [bad.SwallowsCancellation],
    "many_sessions_leave_nothing": [bad.LeaksATask],
    "the_event_loop_is_never_blocked": [bad.BlocksTheLoop],
    "health_check_sees_a_silent_peer": [bad.HealthCheckLooksAtTheSocket, bad.HealthCheckAlwaysWell],
    "health_check_sees_a_closed_line": [bad.HealthCheckAlwaysWell],
    "a_lost_line_is_reported": [bad.NeverNoticesALoss],
    "an_unanswered_exchange_ends_by_itself": [bad.WaitsForEver],
    "a_late_answer_is_not_taken_for_the_next_one": [bad.HandsOutTheLateAnswer],
    "a_late_answer_does_not_outlive_its_session": [bad.KeepsItsLineForTheNextSession],
    "an_answer_in_single_bytes_is_an_answer": [bad.TakesAPieceForAnAnswer],
    "a_line_cut_within_an_answer_is_a_transient_failure": [bad.TakesHalfALine],
    "a_garbled_answer_is_not_a_bug": [bad.StumblesOverNonsense],
    "an_endless_answer_is_bounded": [bad.ReadsWithoutLimit],
}
"""Who breaks which rule."""

ALSO: dict[type[BaseConnection[Any]], set[str]] = {
    # What must break with it: the same mistake shows in another place.
    bad.LeaksATask: {
        "a_silent_peer_holds_nothing",
        "connect_can_be_cancelled_anywhere",
        "health_check_can_be_cancelled_anywhere",
        "an_exchange_can_be_cancelled_anywhere",
    },
    bad.DisconnectReturnsNone: {
        "connect_can_be_cancelled_anywhere",
        "health_check_can_be_cancelled_anywhere",
        "an_exchange_can_be_cancelled_anywhere",
    },
    bad.CannotDisconnectTwice: {"connect_can_be_cancelled_anywhere"},
    bad.HealthCheckLooksAtTheSocket: {"health_check_sees_a_closed_line"},
    bad.IgnoresCancellation: {
        "secrets_do_not_show",
        "connect_can_be_cancelled_anywhere",
        "the_event_loop_is_never_blocked",
    },
    bad.SwallowsCancellation: {
        "a_late_answer_is_not_taken_for_the_next_one",
        "a_late_answer_does_not_outlive_its_session",
    },
    bad.TakesAPieceForAnAnswer: {"a_line_cut_within_an_answer_is_a_transient_failure"},
    bad.WaitsForEver: {"a_garbled_answer_is_not_a_bug"},
    bad.KeepsItsLineForTheNextSession: {
        "a_silent_peer_holds_nothing",
        "connect_can_be_cancelled_anywhere",
        "health_check_can_be_cancelled_anywhere",
        "an_exchange_can_be_cancelled_anywhere",
        "many_sessions_leave_nothing",
        "a_late_answer_is_not_taken_for_the_next_one",
    },
    bad.WorksOnce: {
        "a_dead_link_refuses_exchanges",
        "connect_can_be_cancelled_anywhere",
        "health_check_can_be_cancelled_anywhere",
        "an_exchange_can_be_cancelled_anywhere",
        "many_sessions_leave_nothing",
        "a_late_answer_is_not_taken_for_the_next_one",
        "a_late_answer_does_not_outlive_its_session",
        "an_answer_in_single_bytes_is_an_answer",
        "a_line_cut_within_an_answer_is_a_transient_failure",
        "a_garbled_answer_is_not_a_bug",
        "an_endless_answer_is_bounded",
    },
}

PAIRS = [(rule, each) for rule, classes in CAUGHT_BY.items() for each in classes]
OFFENDERS = list(dict.fromkeys(each for _, each in PAIRS))


async def _broken_rules(connection_class: type[BaseConnection[Any]], rules: set[str]) -> dict[str, str]:
    others = dict.fromkeys(set(RULES) - rules, "not asked for here")
    verdicts = await check_contract(connection_class, LineSimulator, exercise="echo", deadline=1.5, excused=others)
    bad.close_leaked()
    return {verdict.rule: verdict.detail for verdict in verdicts if verdict.passed is False}


@pytest.mark.leaves_behind("the connections are bad on purpose")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("rule", "connection_class"), PAIRS, ids=[f"{each.__name__}-{rule}" for rule, each in PAIRS])
def test_each_mistake_is_caught(rule: str, connection_class: type[BaseConnection[Any]]) -> None:
    """The rule meant for a mistake finds it and says more than its name."""
    found = asyncio.run(_broken_rules(connection_class, {rule}))
    gc.collect()
    assert list(found) == [rule]
    assert len(found[rule]) > 20
    assert "could not be checked" not in found[rule]


def test_every_rule_has_caught_something() -> None:
    """There is no rule without a connection that breaks it."""
    assert set(CAUGHT_BY) == set(RULES)


def test_every_rule_says_what_it_promises() -> None:
    """A rule's docstring is one sentence on one line; it is the docstring of the test too."""
    for rule in RULES.values():
        assert rule.__doc__
        assert rule.__doc__.strip().endswith(".")
        assert len(rule.__doc__.strip().splitlines()) == 1


def test_an_excuse_needs_a_rule_and_a_reason() -> None:
    """A misspelt excuse, or one without a reason, is an error; an accepted one takes its test away."""
    with pytest.raises(ValueError, match="no_such_rule"):
        contract_tests(LineConnection, LineSimulator, excused={"no_such_rule": "because"})
    with pytest.raises(ValueError, match="without a reason"):
        contract_tests(LineConnection, LineSimulator, excused={"secrets_do_not_show": " "})
    tests = contract_tests(LineConnection, LineSimulator, excused={"secrets_do_not_show": "has none"})
    assert not hasattr(tests, "test_secrets_do_not_show")
    assert len([name for name in vars(tests) if name.startswith("test_")]) == len(RULES) - 1


async def test_without_pytest_there_is_a_verdict_on_every_rule() -> None:
    """check_contract tells for each rule whether it is kept, or why it was left out."""
    some = {"answers_are_real_bools", "an_exchange_can_be_cancelled_anywhere"}
    verdicts = await check_contract(
        bad.PlainConnection, LineSimulator, exercise="echo", excused=dict.fromkeys(set(RULES) - some, "not now")
    )
    assert [verdict.rule for verdict in verdicts] == list(RULES)
    told = {verdict.rule: verdict for verdict in verdicts}
    assert told["answers_are_real_bools"].passed is True
    assert told["an_exchange_can_be_cancelled_anywhere"] == Verdict(
        "an_exchange_can_be_cancelled_anywhere", None, "plain methods cannot be cancelled"
    )
    assert told["secrets_do_not_show"] == Verdict("secrets_do_not_show", None, "not now")


async def test_cancel_at_reaches_every_suspension() -> None:
    """Counting up, each suspension is cancelled once, the coroutine sees it there, and in the end nothing is hit."""
    seen = []

    async def three_naps() -> str:
        for nap in range(3):
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                seen.append(nap)
                raise
        return "rested"

    for point in range(3):
        breaker = CancelAt(three_naps(), point)
        task = asyncio.create_task(_awaited(breaker), name=f"cancelled at {point}")
        await asyncio.wait({task})
        assert (task.cancelled(), breaker.hit) == (True, True)
    breaker = CancelAt(three_naps(), 3)
    assert (await breaker, breaker.hit, seen) == ("rested", False, [0, 1, 2])


async def _awaited(breaker: CancelAt[str]) -> str:
    return await breaker


def test_the_proxy_goes_between_any_kind_of_config() -> None:
    """host and port, a URL, or the path of a serial port: the config leads through the proxy, the rest stays."""
    proxy, config = put_between({"host": "127.0.0.1", "port": 1, "timeout": 2})
    assert isinstance(proxy, FaultProxy)
    assert config == {"host": "127.0.0.1", "port": proxy.port, "timeout": 2}
    proxy._reserved.close()
    proxy, config = put_between({"base_url": "http://me:it@127.0.0.1:8080/api?x=1", "timeout": 2})
    assert isinstance(proxy, FaultProxy)
    assert proxy.target == ("127.0.0.1", 8080)
    assert config == {"base_url": f"http://me:it@127.0.0.1:{proxy.port}/api?x=1", "timeout": 2}
    proxy._reserved.close()
    line, config = put_between({"port": "/dev/ttyUSB0", "baudrate": 9600})
    assert isinstance(line, PtyFaultProxy)
    assert line.target == "/dev/ttyUSB0"
    assert config == {"port": line.path, "baudrate": 9600}
    shutil.rmtree(Path(line.path).parent)


def test_a_simulator_does_not_pay_for_the_kit() -> None:
    """Importing connmgr.testing brings neither pytest nor asyncio nor pydantic."""
    code = (
        "import sys, connmgr.testing; print(*sorted({'pytest', 'asyncio', 'pydantic', 'aiohttp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_kit_needs_no_pytest() -> None:
    """The tests' class is made without pytest."""
    code = (
        "import sys; sys.modules['pytest'] = None; from connmgr.testing import contract_tests;"
        "from tests.integration.line_device import *; contract_tests(LineConnection, LineSimulator)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


if __name__ == "__main__":  # the whole matrix: every bad connection against every rule, a few minutes
    for offender in OFFENDERS:
        expected = {rule for rule, each in PAIRS if each is offender}
        broken = asyncio.run(_broken_rules(offender, set(RULES)))
        more = set(broken) - expected - ALSO.get(offender, set())
        print(
            offender.__name__, "as expected" if expected <= set(broken) and not more else "NOT AS EXPECTED", flush=True
        )
        for name, detail in broken.items():
            print("   ", "+" if name in more else " ", name, detail[:200])
