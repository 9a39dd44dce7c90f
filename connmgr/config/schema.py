"""The JSON Schema (draft 2020-12) of `connections.json`, so that editors complete and check it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from connmgr.config.document import ID_PATTERN, NAME_LIMIT, TYPE_PATTERN, ConnectionSection, FileSection
from connmgr.config.model import TypeInfo
from connmgr.secrets import REFERENCE_KINDS
from connmgr.settings import GlobalSettings, SupervisionSettings

Schema = dict[str, Any]

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Final = "#/$defs/secret_reference"
_AUTO_RECONNECT: Final = {
    "type": "boolean",
    "description": 'The same as `auto_reconnect` in "settings", which wins.',
}


def schema(types: Mapping[str, TypeInfo]) -> Schema:
    """The schema of the whole file, with the "config" of every given type. Works with none as well."""
    definitions: Schema = {
        "secret_reference": _secret_reference(),
        "supervision_settings": SupervisionSettings.model_json_schema(),
        "global_settings": GlobalSettings.model_json_schema(),
    }
    definitions["connection"] = _connection(types, definitions)
    document = FileSection.model_json_schema(by_alias=True)
    document["properties"]["settings"] = _described("global_settings", document["properties"]["settings"])
    document["properties"]["connections"] |= {
        "additionalProperties": {"$ref": "#/$defs/connection"},
        "propertyNames": {"pattern": ID_PATTERN},
    }
    return {"$schema": _DRAFT, **document, "title": "connections.json", "$defs": definitions}


def _connection(types: Mapping[str, TypeInfo], definitions: Schema) -> Schema:
    section = ConnectionSection.model_json_schema()
    properties = section["properties"]
    properties["settings"] = _described("supervision_settings", properties["settings"])
    properties["name"] = {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": NAME_LIMIT,
        **_only(properties["name"], "description"),
    }
    properties["config"] = {"type": "object", **_only(properties["config"], "description")}
    if not types:
        properties["type"]["pattern"] = TYPE_PATTERN
        return section
    properties["type"]["enum"] = sorted(types)
    cases = [_case(name, _options(name, info, definitions)) for name, info in sorted(types.items())]
    return section | {"allOf": cases}


def _case(name: str, options: Schema) -> Schema:
    """What holds for connections of one type."""
    consequence: Schema = {"properties": {"config": options}}
    if options.get("required"):
        consequence["required"] = ["config"]
    return {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": consequence}


def _options(name: str, info: TypeInfo, definitions: Schema) -> Schema:
    options = _of_model(name, info.options_model, definitions) if info.options_model is not None else {}
    if "properties" in options:
        options["properties"] = {**options["properties"], "auto_reconnect": _AUTO_RECONNECT}
    return {"type": "object", **options}


def _of_model(name: str, model: type[BaseModel], definitions: Schema) -> Schema:
    try:
        options = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    except PydanticUserError:
        return {}
    for definition, content in options.pop("$defs", {}).items():
        definitions[f"{name}.{definition}"] = _with_references(content)
    root = definitions.get(str(options.get("$ref", "")).removeprefix("#/$defs/"))  # of a model that contains itself
    whole: Schema = root if root is not None else _with_references(options)
    return dict(whole)


def _with_references(node: Any) -> Any:  # noqa: ANN401 - a schema, or a part of one
    """Allow a secret reference in place of every value inside an object or a list."""
    if not isinstance(node, dict):
        return node
    result = dict(node)
    for key in ("properties", "patternProperties"):
        if key in node:
            result[key] = {name: _or_reference(value) for name, value in node[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            result[key] = _or_reference(node[key])
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if key in node:
            result[key] = [_with_references(value) for value in node[key]]
    return result


def _or_reference(node: Any) -> Any:  # noqa: ANN401 - a schema
    if not isinstance(node, dict):
        return node
    notes = _only(node, "title", "description", "default", "examples", "deprecated")
    content = {key: value for key, value in _with_references(node).items() if key not in notes}
    return {**notes, "anyOf": [content, {"$ref": _REFERENCE}]} if content else notes


def _secret_reference() -> Schema:
    return {
        "description": "Where a secret is found, instead of the secret.",
        "type": "object",
        "properties": {
            kind: {"type": "string", "minLength": 1, "description": text} for kind, text in REFERENCE_KINDS.items()
        },
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }


def _described(name: str, section: Schema) -> Schema:
    return {"$ref": f"#/$defs/{name}", **_only(section, "description")}


def _only(node: Schema, *keys: str) -> Schema:
    return {key: node[key] for key in keys if key in node}
