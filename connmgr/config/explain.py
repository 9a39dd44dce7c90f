"""pydantic's errors in the words of this project, with the place they mean and without the values nobody may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, get_args

from pydantic import AliasChoices, AliasPath, BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from connmgr.config.problems import Finding, nearest, shown
from connmgr.places import Path

IsSecret = Callable[[Path], bool]
Models = tuple[type[BaseModel], ...]

MOST: Final = 1000
"""Problems told of one section; more than that is not a slip but the wrong file."""

_EXPECTED: Final[Mapping[str, str]] = {
    "bool": "true or false",
    "dict": "an object {…}",
    "float": "a number",
    "finite": "a finite number",
    "int": "a whole number",
    "list": "a list […]",
    "literal": "another value",
    "model": "an object {…}",
    "none": "null",
    "set": "a list […]",
    "string": "text",
    "tuple": "a list […]",
}
_KIND_OF: Final[Mapping[type, str]] = {bool: "a boolean", int: "a number", float: "a number", str: "text"}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than_equal": ("ge", "below"),
    "less_than_equal": ("le", "above"),
    "greater_than": ("gt", "not above"),
    "less_than": ("lt", "not below"),
}
_LENGTHS: Final[Mapping[str, tuple[str, str, str]]] = {
    "string_too_short": ("min_length", "too short", "least"),
    "string_too_long": ("max_length", "too long", "most"),
}
_NOT: Final[Mapping[str, str]] = {
    "int_from_float": "a whole number",
    "int_fractional": "a whole number",
    "finite_number": "a finite number",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
}


def explain(error: ValidationError, model: type[BaseModel], data: object, is_secret: IsSecret) -> list[Finding]:
    """What a `ValidationError` means, with paths relative to the data that was validated: at most `MOST` findings.

    Args:
        is_secret: tells for a path whether its value must not be shown.
    """
    errors = error.errors(include_url=False, include_input=False)
    findings = [_explain_one(details, model, data, is_secret) for details in errors[:MOST]]
    if len(errors) > MOST:
        findings.append(Finding((), f"{len(errors) - MOST} more problems below this", "is it the right file?"))
    return findings


def _explain_one(details: ErrorDetails, model: type[BaseModel], data: object, is_secret: IsSecret) -> Finding:
    kind, context = details["type"], details.get("ctx", {})
    path, value = _real_path(details["loc"], data, is_missing=kind == "missing")
    if kind == "missing":
        return Finding(path, "required, but missing", _add(path, model))
    if kind == "extra_forbidden":
        return Finding(path, "unknown key", nearest(str(path[-1]), known_keys(model, path[:-1])), at_key=True)
    if path and details["loc"][-1] == "[key]":
        return Finding(path, _lowered(details["msg"]), str(context.get("remedy", "")), at_key=True)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_tag(path, value, context, is_secret)
    secret = is_secret(path)
    fields = [name for name in context.get("fields", ()) if isinstance(data, dict) and name in data]
    path = (*path, fields[0]) if fields else path
    message, remedy = _told(kind, context, details["msg"], value, secret)
    return Finding(path, message, remedy)


def _wrong_tag(path: Path, value: object, context: Mapping[str, Any], is_secret: IsSecret) -> Finding:
    """The key that chooses between several models does not choose one of them."""
    key = str(context["discriminator"]).strip("'")
    if not isinstance(value, dict) or key not in value:
        return Finding((*path, key), "required, but missing", f'add "{key}"')
    chosen = "this" if is_secret((*path, key)) else shown(value[key])
    return Finding((*path, key), f"{chosen} is not one of {context['expected_tags']}")


def _told(kind: str, context: Mapping[str, Any], text: str, value: object, secret: bool) -> tuple[str, str]:
    """Message and remedy for a value that is there and not acceptable."""
    value_shown = "this" if secret else shown(value)
    if kind in _BOUNDS:
        name, relation = _BOUNDS[kind]
        return f"{value_shown} is {relation} {_plain(context[name])}", ""
    if kind in _LENGTHS:
        name, relation, limit = _LENGTHS[kind]
        return f"{value_shown} is {relation}", f"at {limit} {context[name]} characters"
    if kind in _NOT:
        return f"{value_shown} is not {_NOT[kind].format(**context)}", ""
    if kind == "int_type" and isinstance(value, float):
        return f"{value_shown} is not a whole number", ""
    expected = _EXPECTED.get(kind.split("_", maxsplit=1)[0]) if kind.endswith(("_type", "_parsing")) else None
    if expected:
        return f"{_wrong_kind(value, value_shown, secret)}, {expected} is expected", ""
    return _in_their_words(text, value, value_shown, secret), "" if secret else str(context.get("remedy", ""))


def _in_their_words(text: str, value: object, value_shown: str, secret: bool) -> str:
    if secret and isinstance(value, str):
        # A validator's own words may quote the value; the field's name and the schema say what is allowed.
        return "not acceptable" if not value or value in text else _lowered(text)
    return _lowered(text) if secret or isinstance(value, dict | list) else f"{value_shown}: {_lowered(text)}"


def _wrong_kind(value: object, value_shown: str, secret: bool) -> str:
    if value is None or isinstance(value, dict | list):
        return f"this is {shown(value)}"
    kind = _KIND_OF.get(type(value), "something else")
    return f"this is {kind}" if secret else f"{value_shown} is {kind}"


def _lowered(text: str) -> str:
    for prefix in ("Value error, ", "Assertion failed, "):
        text = text.removeprefix(prefix)
    text = " ".join(text.split())[:300]
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _plain(number: object) -> str:
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _real_path(location: tuple[int | str, ...], data: object, *, is_missing: bool) -> tuple[Path, object]:
    """The part of pydantic's location that exists in the data: tags of unions and names of functions are left out."""
    path: list[str | int] = []
    for element in location[:-1] if is_missing else location:
        if isinstance(data, dict) and element in data:
            data = data[str(element)]
        elif isinstance(data, list) and isinstance(element, int) and element < len(data):
            data = data[element]
        else:
            continue
        path.append(element)
    return (*path, location[-1]) if is_missing else tuple(path), data


def _add(path: Path, model: type[BaseModel]) -> str:
    for candidate in models_at(model, path[:-1]):
        description = _descriptions(candidate).get(str(path[-1]))
        if description:
            return f'add "{path[-1]}": {description}'
    return f'add "{path[-1]}"'


def known_keys(model: type[BaseModel], path: Path) -> set[str]:
    """The keys that the model allows in the object at a path."""
    return {key for candidate in models_at(model, path) for key in _descriptions(candidate)}


def models_at(model: type[BaseModel], path: Path) -> Models:
    """The models that may describe the object at a path: several for a union, none where anything goes."""
    models: Models = (model,)
    for element in path:
        if isinstance(element, str):
            models = _members(models, element)
    return models


def holds_secret(model: type[BaseModel], path: Path) -> bool:
    """Whether the model declares the value at a path a `SecretStr` or `SecretBytes`."""
    models: Models = (model,)
    for element in path:
        if isinstance(element, str):
            if any(_is_secret_field(candidate, element) for candidate in models):
                return True
            models = _members(models, element)
    return False


@lru_cache(maxsize=4096)
def _members(models: Models, key: str) -> Models:
    if not any(key in _annotations(candidate) for candidate in models):
        return models  # a key of a mapping: its values are described by what the mapping's annotation named
    found = [m for candidate in models for m in _models_in(_annotations(candidate).get(key))]
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=4096)
def _is_secret_field(model: type[BaseModel], key: str) -> bool:
    return any(issubclass(kind, SecretStr | SecretBytes) for kind in _classes_in(_annotations(model).get(key)))


def _models_in(annotation: object) -> list[type[BaseModel]]:
    return [kind for kind in _classes_in(annotation) if issubclass(kind, BaseModel)]


def _classes_in(annotation: object) -> list[type]:
    annotation = getattr(annotation, "__value__", annotation)  # what `type X = …` stands for
    arguments = get_args(annotation)
    if arguments:
        return [kind for argument in arguments for kind in _classes_in(argument)]
    return [annotation] if isinstance(annotation, type) else []


@lru_cache(maxsize=1024)
def _annotations(model: type[BaseModel]) -> dict[str, object]:
    return {key: field.annotation for name, field in model.model_fields.items() for key in _spellings(name, field)}


@lru_cache(maxsize=1024)
def _descriptions(model: type[BaseModel]) -> dict[str, str]:
    return {
        key: field.description or "" for name, field in model.model_fields.items() for key in _spellings(name, field)
    }


def _spellings(name: str, field: Any) -> list[str]:  # noqa: ANN401 - pydantic's FieldInfo
    """The keys in the file that fill a field."""
    alias = field.validation_alias or field.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return [str(choice.path[0]) if isinstance(choice, AliasPath) else str(choice) for choice in choices]
