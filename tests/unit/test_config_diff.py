"""What a reload does to each connection."""

import json
from typing import Any

import pytest

from connmgr.config import Config, Diff, diff
from tests.unit.config_types import read

BASE: dict[str, Any] = {"type": "tcp", "name": "n", "config": {"host": "h", "rack": 1}, "settings": {"stable_after": 5}}


def _file(settings: dict[str, Any] | None = None, **connections: Any) -> Config:
    return read(json.dumps({"settings": settings or {}, "connections": connections}))


@pytest.mark.parametrize(
    ("change", "fate"),
    [
        ({}, "unchanged"),
        ({"enabled": True}, "unchanged"),
        ({"config": {"rack": 1, "host": "h"}}, "unchanged"),
        ({"type": "custom_tcp"}, "changed"),
        ({"enabled": False}, "changed"),
        ({"config": {"host": "h", "rack": 2}}, "changed"),
        ({"config": {"host": "h"}}, "changed"),
        ({"settings": {"stable_after": 6}}, "settings_only"),
        ({"settings": {"stable_after": 6}, "name": "m"}, "settings_only"),
        ({"config": {"host": "h", "rack": 1, "auto_reconnect": False}}, "settings_only"),
        ({"config": {"host": "h", "rack": 1, "auto_reconnect": True}}, "unchanged"),
        ({"name": "m"}, "name_only"),
        ({"settings": {"stable_after": 5.0}}, "unchanged"),
    ],
)
def test_only_what_the_plugin_sees_replaces_a_connection(change: dict[str, Any], fate: str) -> None:
    """Settings and names are applied to the living socket."""
    found = diff(_file(a=BASE, b=BASE), _file(a=BASE | change, b=BASE))
    assert "a" in getattr(found, fate)
    assert "b" in found.unchanged
    assert found.is_empty is (fate == "unchanged")


def test_true_is_not_one() -> None:
    """Equal in Python, and not to a plugin without a model."""
    free = {"type": "custom_tcp", "config": {"x": 1}}
    assert diff(_file(a=free), _file(a=free | {"config": {"x": True}})).changed == ("a",)


def test_added_and_removed_are_in_the_order_of_their_files() -> None:
    """And moving an entry is no change."""
    found = diff(_file(a=BASE, b=BASE, c=BASE), _file(d=BASE, c=BASE, b=BASE))
    assert found == Diff(added=("d",), removed=("a",), unchanged=("c", "b"))


def test_a_secret_that_changed_replaces_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the same, what it refers to is not."""
    entry = BASE | {"config": {"host": "h", "password": {"$env": "PW"}}}
    monkeypatch.setenv("PW", "one")
    old = _file(a=entry)
    monkeypatch.setenv("PW", "two")
    assert diff(old, _file(a=entry)).changed == ("a",)


def test_a_plugin_that_changes_its_config_changes_nothing() -> None:
    """The comparison is with what was read."""
    old = _file(a=BASE)
    old.connections["a"].config["host"] = "elsewhere"
    assert diff(old, _file(a=BASE)).is_empty


def test_the_settings_of_the_file_reach_the_connections() -> None:
    """A default that changed, and limits that concern no single connection."""
    found = diff(_file(a=BASE), _file({"health_check_interval": 5}, a=BASE))
    assert found.settings_only == ("a",)
    assert not found.limits_changed
    found = diff(_file(a=BASE), _file({"dial_rate": 5}, a=BASE))
    assert found.unchanged == ("a",)
    assert found.limits_changed
    assert not found.is_empty
