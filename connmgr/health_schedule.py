"""When health checks are due. Pure."""

import math
import zlib


def next_slot(connection_id: str, interval: float, after: float) -> float:
    """The first time after `after` at which a health check is due.

    Slots lie `interval` apart for ever, at a phase drawn from the id, so that the checks of many connections are
    spread over the interval however they came up, a slow answer makes no drift, and a run can be repeated.
    """
    phase = zlib.crc32(connection_id.encode()) / 2**32 * interval
    slot = (math.floor((after - phase) / interval) + 1) * interval + phase
    return slot if slot > after else slot + interval


def due_after_traffic(traffic_at: float | None, interval: float, now: float) -> float | None:
    """When to check instead of now, because the device has spoken within the interval; None = check now."""
    if traffic_at is None or traffic_at + interval <= now:
        return None
    return traffic_at + interval
