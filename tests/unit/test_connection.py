"""The contract class by itself."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from connmgr import AppContext, BaseConnection, ConnectionStatus


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    host: str


class Wider(Options):
    port: int = 5000


class Device(BaseConnection[Options]):
    async def connect(self) -> bool:
        return True

    async def disconnect(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return True

    async def health_check(self) -> bool:
        return True


class WiderDevice(Device):
    options_model = Wider


def made(cls: type[BaseConnection[Any]], **config: Any) -> BaseConnection[Any]:
    return cls("d", config, AppContext(manager=None))  # type: ignore[arg-type]  # nobody asks it here


def test_options_come_from_the_class() -> None:
    """The generic argument is the options model; auto_reconnect is the supervisor's and does not disturb it."""
    device = made(Device, host="h", auto_reconnect=True)
    assert device.options == Options(host="h")
    assert device.config["auto_reconnect"] is True
    with pytest.raises(ValidationError):
        made(Device, hots="h")


def test_a_subclass_may_name_another_model() -> None:
    """options_model in the body of a subclass is not overwritten by the parent's argument."""
    assert made(WiderDevice, host="h").options == Wider(host="h", port=5000)


def test_status_has_exactly_these_keys() -> None:
    """get_status() keeps its shape."""
    device = made(Device, host="h")
    device.update_stats(packets_sent=1, bytes_sent=5)
    device.stats["errors"] += 1
    found = device.get_status()
    assert list(found) == [
        "connection_id",
        "type",
        "status",
        "connected_at",
        "last_error",
        "reconnect_attempts",
        "stats",
    ]
    assert found["type"] == "Device"
    assert found["status"] == "disconnected"
    assert found["stats"].pop("last_activity") is not None  # type: ignore[misc]  # the copy is ours
    assert found["stats"] == {
        "packets_sent": 1,
        "packets_received": 0,
        "bytes_sent": 5,
        "bytes_received": 0,
        "errors": 1,
    }
    assert device.stats["last_activity"] is not None


def test_assignments_count_without_a_supervisor() -> None:
    """Used by hand, a plugin sees and shows what it assigned."""
    device = made(Device, host="h")
    device.status = ConnectionStatus.CONNECTED
    device.connected_at = 12.5
    device.reconnect_attempts = 3
    assert device.get_status()["status"] == "connected"
    assert device.get_status()["connected_at"] == 12.5
    assert device.get_status()["reconnect_attempts"] == 3
