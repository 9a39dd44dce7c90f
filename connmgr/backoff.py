"""How long to pause before the next attempt, when to stop trying, and when a link has earned patience again. Pure."""

import random
from collections.abc import Callable, Iterator

from connmgr.errors import Failure, Kind
from connmgr.settings import SupervisionSettings


def base_delay(settings: SupervisionSettings, n: int) -> float:
    """Pause number `n` (from 0) in seconds, before jitter: initial · multiplierⁿ, at most the maximum.

    For the default settings: 5, 7.5, 11.25, 16.875, 25.3125, 37.96875, 56.953125, 60, 60, …
    """
    try:
        delay = settings.reconnect_delay_initial * settings.reconnect_delay_multiplier**n
    except OverflowError:
        return settings.reconnect_delay_max
    return min(delay, settings.reconnect_delay_max)


def delays(settings: SupervisionSettings, uniform: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """The pauses of one series of failures, without end.

    Each is spread over ±`reconnect_jitter` of itself and never exceeds `reconnect_delay_max`; with jitter 0 the
    series is exact.
    """
    n = 0
    while True:
        delay, jitter = base_delay(settings, n), settings.reconnect_jitter
        yield min(delay * uniform(1 - jitter, 1 + jitter), settings.reconnect_delay_max) if jitter else delay
        if delay < settings.reconnect_delay_max:
            n += 1


def asked_for(settings: SupervisionSettings, seconds: float) -> float:
    """The pause that a device asked for: never longer than a suspended connection would wait for its probe.

    One answer, true or forged, must not silence a device for a day.
    """
    longest = max(settings.suspended_probe_interval, settings.reconnect_delay_max)
    return min(seconds, longest) if settings.suspended_probe_interval else seconds


def stable_at(settings: SupervisionSettings, up_since: float) -> float:
    """From when on a link that is up since `up_since` has cleared its attempts and its backoff.

    Clearing them on connecting would let a peer that accepts and drops at once be dialled without any pause. A time to
    compare with and not a duration: a sleeper that wakes at this very time must not find, for a rounding error, that
    it is not yet so.
    """
    return up_since + settings.stable_after


def reason_to_suspend(settings: SupervisionSettings, failure: Failure, attempts: int, *, probing: bool) -> str | None:
    """Why trying should stop after this failure; None when it should not.

    Args:
        attempts: failed ones since the link was last stable, this one included.
        probing: the attempt was the one that a suspended connection is given.
    """
    if failure.kind is Kind.PERMANENT:
        return failure.reason
    if not settings.auto_reconnect:
        return None
    if probing:
        return f"the probe failed: {failure.reason}"
    if settings.reconnect_max_attempts and attempts >= settings.reconnect_max_attempts:
        return f"{attempts} attempts failed, the last one: {failure.reason}"
    return None
