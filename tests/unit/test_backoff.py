"""The pauses between attempts: exact, capped, spread; and who has earned forgiveness."""

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connmgr.backoff import base_delay, delays, reason_to_suspend, stable_at
from connmgr.errors import Failure, Kind
from connmgr.settings import SupervisionSettings

LOST = Failure(Kind.TRANSIENT, "refused", "tcp")
WRONG = Failure(Kind.PERMANENT, "wrong password", "login")


def test_the_schedule_of_the_seed() -> None:
    """Without jitter the default settings give 5, 7.5, 11.25, … up to 60, and stay there."""
    exact = SupervisionSettings(reconnect_jitter=0)
    assert list(islice(delays(exact), 10)) == [5, 7.5, 11.25, 16.875, 25.3125, 37.96875, 56.953125, 60, 60, 60]


@settings(max_examples=500, deadline=None)
@given(
    initial=st.floats(0.01, 86_400),
    multiplier=st.floats(1, 1e6),
    cap=st.floats(0.01, 86_400),
    jitter=st.floats(0, 0.99),
    seed=st.integers(0, 2**32),
)
def test_every_pause_is_within_its_bounds(
    initial: float, multiplier: float, cap: float, jitter: float, seed: int
) -> None:
    """Pause n is initial · multiplierⁿ up to the cap, ± jitter, and never above the cap, whatever the settings."""
    cap = max(initial, cap)
    chosen = SupervisionSettings(
        reconnect_delay_initial=initial,
        reconnect_delay_multiplier=multiplier,
        reconnect_delay_max=cap,
        reconnect_jitter=jitter,
    )
    expected = initial
    for n, delay in enumerate(islice(delays(chosen, random.Random(seed).uniform), 40)):
        assert base_delay(chosen, n) == pytest.approx(expected, rel=1e-6)
        assert expected * (1 - jitter) * (1 - 1e-6) <= delay <= min(cap, expected * (1 + jitter) * (1 + 1e-6))
        expected = min(expected * multiplier, cap)


def test_no_overflow() -> None:
    """The ten-thousandth pause of the steepest backoff is still the longest one."""
    assert base_delay(SupervisionSettings(reconnect_delay_multiplier=1_000_000), 10_000) == 60


def test_jitter_spreads() -> None:
    """Pauses of many connections that failed together differ: without that they would dial together for ever."""
    rng = random.Random(1)
    first = [next(delays(SupervisionSettings(), rng.uniform)) for _ in range(1000)]
    assert min(first) < 4.55
    assert max(first) > 5.45
    assert len(set(first)) > 990


def test_stable() -> None:
    """A link is stable stable_after seconds after it came up, not before."""
    assert stable_at(SupervisionSettings(stable_after=30), 10_000) == 10_030
    assert stable_at(SupervisionSettings(stable_after=0), 10_000) == 10_000


@pytest.mark.parametrize(
    ("changes", "failure", "attempts", "probing", "reason"),
    [
        ({}, LOST, 9, False, None),
        ({}, LOST, 10, False, "10 attempts failed, the last one: refused"),
        ({"reconnect_max_attempts": 0}, LOST, 10_000, False, None),
        ({"auto_reconnect": False}, LOST, 10, False, None),
        ({}, LOST, 1, True, "the probe failed: refused"),
        ({"auto_reconnect": False}, LOST, 1, True, None),
        ({"auto_reconnect": False}, WRONG, 1, False, "wrong password"),
        ({"reconnect_max_attempts": 0}, WRONG, 0, False, "wrong password"),
    ],
)
def test_reason_to_suspend(
    changes: dict[str, float], failure: Failure, attempts: int, probing: bool, reason: str | None
) -> None:
    """Suspended at the attempt that reaches the limit, at a failed probe, and at once when it can never work."""
    chosen = SupervisionSettings.model_validate(changes)
    assert reason_to_suspend(chosen, failure, attempts, probing=probing) == reason
