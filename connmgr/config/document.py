"""The sections of `connections.json` as models: what may stand where, with the descriptions that document it."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

ID_PATTERN: Final = r"^(?!__proto__$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
TYPE_PATTERN: Final = r"^[A-Za-z0-9_.-]{1,64}$"
NAME_LIMIT: Final = 200

_ID: Final = re.compile(ID_PATTERN.replace("$", r"\Z"))
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_INVISIBLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def is_connection_id(text: str) -> bool:
    """Whether a text can be the id of a connection; ids become file names, URLs and arguments of commands."""
    return _ID.match(text) is not None


def _check_name(name: str) -> str:
    if not name.strip():
        raise PydanticCustomError("name", "empty", {"remedy": "leave it out, then the id is the name"})
    if len(name) > NAME_LIMIT:
        raise PydanticCustomError("name", "too long", {"remedy": f"at most {NAME_LIMIT} characters"})
    if any(unicodedata.category(char) in _INVISIBLE or char in _BIDI for char in name):
        reason = "it contains control characters or changes the direction of writing"
        raise PydanticCustomError("name", "{reason}", {"reason": reason, "remedy": "delete them"})
    return name


Name = Annotated[str, AfterValidator(_check_name)]


class Strict(BaseModel):
    """What all sections share."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class ConnectionSection(Strict):
    """One entry of "connections"; its key is the id of the connection."""

    type: str = Field(description="Connection type, such as `tcp` or `s7`: which plugin speaks to the device.")
    name: Name | None = Field(None, description="Name for people, at most 200 characters; the id, when left out.")
    enabled: bool = Field(True, description="Whether the connection is opened at all.")
    config: dict[str, Any] = Field(
        {}, description="What the plugin needs to know; `auto_reconnect` is understood for every type."
    )
    settings: dict[str, Any] = Field({}, description="Supervision settings of this connection, over the file's own.")


class FileSection(Strict):
    """`connections.json` as a whole."""

    schema_reference: str | None = Field(
        None, alias="$schema", description="Where an editor finds the JSON Schema of this file; not used by connmgr."
    )
    settings: dict[str, Any] = Field(
        {}, description="Supervision settings of all connections, and the limits they share."
    )
    connections: dict[str, Any] = Field(description="The connections by id: letters, digits and `_ . -`, at most 64.")
