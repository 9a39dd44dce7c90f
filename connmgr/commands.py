"""What may be asked of a connection, and what its owner works towards."""

from enum import Enum


class Command(Enum):
    """What may be asked of an owner."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    SUSPEND = "suspend"
    RESUME = "resume"
    RECONNECT = "reconnect"


class Goal(Enum):
    """What the owner works towards; the value is the status in which it rests there."""

    UP = "connected"
    DOWN = "disconnected"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
