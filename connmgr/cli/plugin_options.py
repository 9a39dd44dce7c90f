"""The options of a connection type as rows of a table: key, kind, default, description. From its pydantic model."""

from typing import Any

from pydantic import BaseModel

KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
LONGEST_CHOICE = 60  # characters; a longer list of values is cut


def options(model: type[BaseModel]) -> list[dict[str, Any]]:
    """One row for each option, those of nested objects with dotted keys. Works for a union of models too."""
    schema = model.model_json_schema(by_alias=True)
    rows: dict[str, dict[str, Any]] = {}
    for row in _rows(schema, schema.get("$defs", {}), "", ()):
        rows.setdefault(row["key"], row)
    return list(rows.values())


def _rows(node: dict[str, Any], defs: dict[str, Any], prefix: str, above: tuple[str, ...]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for key, given in node.get("properties", {}).items():
        value = _resolved(given, defs)
        found.append(
            {
                "key": prefix + key,
                "kind": _kind(value, defs),
                "required": key in node.get("required", ()) and not prefix,
                "default": given.get("default", value.get("default")),
                "description": given.get("description") or value.get("description"),
            }
        )
        for part in _objects(value, defs):
            if (name := part.get("title", "")) not in above:  # a model may contain itself
                found += _rows(part, defs, f"{prefix}{key}.", (*above, name))
    for part in (*node.get("oneOf", ()), *node.get("anyOf", ())) if not node.get("properties") else ():
        found += _rows(_resolved(part, defs), defs, prefix, above)
    return found


def _resolved(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = defs.get(node["$ref"].rpartition("/")[2], {}) | {key: node[key] for key in node if key != "$ref"}
    return node


def _objects(node: dict[str, Any], defs: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [node, *node.get("anyOf", ()), *node.get("oneOf", ())]
    return [one for part in parts if (one := _resolved(part, defs)).get("properties")]


def _kind(node: dict[str, Any], defs: dict[str, Any]) -> str:
    """A JSON Schema in words, such as `whole number, 1 to 65535`."""
    node = _resolved(node, defs)
    if "const" in node:
        return repr(node["const"]).replace("'", '"')
    if "enum" in node:
        words = " | ".join(str(value) for value in node["enum"])
        return words if len(words) <= LONGEST_CHOICE else words[: LONGEST_CHOICE - 1] + "…"
    choices = node.get("anyOf") or node.get("oneOf")
    if choices:
        kinds = dict.fromkeys(_kind(part, defs) for part in choices)
        kinds.pop("null", None)
        return " or ".join(kinds)
    kind = node.get("type")
    if kind == "array":
        return f"list of {_kind(node.get('items', {}), defs)}"
    if kind == "object":
        return "object"
    return KINDS.get(str(kind), "anything") + _range(node)


def _range(node: dict[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f", {low:g} to {high:g}" if abs(high) < 1e6 else f", {low} to {high}"
    words = [
        f"{word} {limit}"
        for word, limit in (("at least", low), ("above", above), ("at most", high), ("below", below))
        if limit is not None
    ]
    return f", {', '.join(words)}" if words else ""
