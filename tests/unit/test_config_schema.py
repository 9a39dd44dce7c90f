"""The JSON Schema of `connections.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from connmgr.config import TypeInfo, schema
from connmgr.fields import Host
from connmgr.settings import GlobalSettings, SupervisionSettings
from tests.unit.config_types import TYPES


class Node(BaseModel):
    """A model that contains itself."""

    model_config = ConfigDict(extra="forbid")

    host: Host = Field(description="Where.")
    next: Node | None = None


class Odd(BaseModel):
    """One that no schema can describe."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    thing: complex | object = None
    call: type[Any] | Any = None


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(item)


@pytest.mark.parametrize("types", [{}, {"tcp": TYPES["tcp"]}, TYPES, {"node": TypeInfo(Node), "odd": TypeInfo(Odd)}])
def test_it_stands_for_itself(types: dict[str, TypeInfo]) -> None:
    """With no type, one and many; every reference leads somewhere inside."""
    whole = json.loads(json.dumps(schema(types)))
    assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for node in _nodes(whole):
        if isinstance(node.get("$ref"), str):
            assert node["$ref"].removeprefix("#/$defs/") in whole["$defs"], node
        assert node.get("allOf") != []
        assert node.get("enum") != []
    assert len(whole["$defs"]["connection"].get("allOf", [])) == len(types)


def _options(name: str) -> dict[str, Any]:
    cases: list[dict[str, Any]] = schema(TYPES)["$defs"]["connection"]["allOf"]
    (case,) = [case for case in cases if case["if"]["properties"]["type"]["const"] == name]
    return dict(case["then"])


def test_every_type_has_its_own_section() -> None:
    """With descriptions, defaults and bounds; a secret reference is allowed for every value, at every depth."""
    tcp = _options("tcp")
    assert tcp["required"] == ["config"]
    config = tcp["properties"]["config"]
    assert config["additionalProperties"] is False
    assert config["required"] == ["host"]
    reference = {"$ref": "#/$defs/secret_reference"}
    assert config["properties"]["port"] == {
        "title": "Port",
        "description": "TCP port.",
        "default": 5000,
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, reference],
    }
    assert config["properties"]["auto_reconnect"]["type"] == "boolean"
    question = schema(TYPES)["$defs"]["tcp.HealthCheck"]["properties"]["send"]
    assert question["anyOf"][1] == reference
    assert _options("custom_tcp") == {"properties": {"config": {"type": "object"}}}


def test_every_setting_is_described() -> None:
    """The reference in the documentation and the help of editors are made from this."""
    definitions = schema({})["$defs"]
    for model, name in [(SupervisionSettings, "supervision_settings"), (GlobalSettings, "global_settings")]:
        assert definitions[name]["additionalProperties"] is False
        assert definitions[name]["properties"].keys() == model.model_fields.keys()
        for setting in definitions[name]["properties"].values():
            assert setting["description"].endswith(".")
            assert "default" in setting
