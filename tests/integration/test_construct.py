"""Constructors that misbehave: they run away from the event loop, and cost nobody else anything."""

import threading
import time
from typing import Any

import pytest

import connmgr.construct
from connmgr import AppContext, BaseConnection
from connmgr.config import ConnectionConfig
from connmgr.construct import UnavailableConnection, construct
from connmgr.registry import Registry
from connmgr.settings import SupervisionSettings


class Good(BaseConnection):
    async def connect(self) -> bool:
        return True

    async def disconnect(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return True

    async def health_check(self) -> bool:
        return True


class Forgetful(Good):
    def __init__(self, *_: object) -> None:  # never calls super().__init__()
        pass


class Quitter(Good):
    def __init__(self, *_: object) -> None:
        raise SystemExit(3)


class Sleeper(Good):
    let_go = threading.Event()

    def __init__(self, *args: Any) -> None:
        self.let_go.wait(20)
        super().__init__(*args)


def configured(name: str, connection_id: str = "") -> ConnectionConfig:
    return ConnectionConfig(
        id=connection_id or name,
        type=name,
        name=name,
        enabled=True,
        config={},
        settings=SupervisionSettings(),
        raw_config={},
        fingerprint="",
    )


def test_each_constructor_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that forgets super(), one that exits and one that sleeps are stood in for; those around them are made."""
    monkeypatch.setattr(connmgr.construct, "DEADLINE", 0.2)
    registry = Registry()
    for cls in (Good, Forgetful, Quitter, Sleeper):
        registry.register(cls.__name__, cls)
    registry.register("Better", type("Better", (Good,), {}))
    began = time.monotonic()
    made = construct(
        map(configured, ["Good", "Forgetful", "Quitter", "Sleeper", "Better"]),
        registry,
        AppContext(manager=None),  # type: ignore[arg-type]  # nobody asks it here
    )
    Sleeper.let_go.set()
    assert time.monotonic() - began < 10
    assert [type(made[name]).__name__ for name in made] == [
        "Good",
        "UnavailableConnection",
        "UnavailableConnection",
        "UnavailableConnection",
        "Better",
    ]
    reasons = [found._reason for found in made.values() if isinstance(found, UnavailableConnection)]
    assert "super().__init__()" in reasons[0]
    assert "SystemExit" in reasons[1]
    assert "did not end within 0.2 s" in reasons[2]
