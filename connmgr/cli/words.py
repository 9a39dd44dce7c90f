"""How the command line words things: durations, times, statuses and their colours."""

import time
from datetime import datetime
from typing import Any

COLOURS = {
    "connected": "green",
    "connecting": "cyan",
    "error": "red",
    "suspended": "yellow",
    "disconnected": "bright_black",
}
MARKS = {"connected": "●", "connecting": "◌", "error": "✖", "suspended": "‖", "disconnected": "○"}
MINUTE, HOUR, DAY = 60, 3600, 86_400


def duration(seconds: float) -> str:
    """Such as 4 s, 3 min, 5 h 20 min, 12 d."""
    seconds = max(seconds, 0)
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min"
    return f"{seconds // DAY:.0f} d"


def milliseconds(seconds: float | None) -> str:
    """A round trip, or nothing."""
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"


def following(found: dict[str, Any]) -> str:
    """What happens next to a connection, in a few words."""
    if not found["enabled"]:
        return "disabled"
    if found["next_attempt_at"] is not None:
        word = "probe" if found["status"] == "suspended" else "retry"
        return f"{word} in {duration(found['next_attempt_at'] - time.time())}"
    return "waits for `resume`" if found["status"] == "suspended" else ""


def one_line(found: dict[str, Any]) -> str:
    """One connection in a line."""
    parts = [f"{found['connection_id']}: {found['status']}", following(found)]
    if found["status"] in ("error", "suspended") and found["last_error"]:
        parts.append(found["last_error"])
    return plain(", ".join(part for part in parts if part))


def clock(iso: str) -> str:
    """An ISO time in UTC as the local time of day."""
    at = datetime.fromisoformat(iso).astimezone()
    return f"{at:%H:%M:%S}.{at.microsecond // 100_000}"


def plain(text: str) -> str:
    """What a device or plugin said, without anything that could command a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)
