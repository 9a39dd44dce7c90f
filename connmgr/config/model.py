"""A configuration that was read and found right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from connmgr.config.problems import Problem
from connmgr.settings import GlobalSettings, SupervisionSettings


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What loading and the schema need to know about a connection type.

    Attributes:
        options_model: describes "config"; None lets any object pass.
        unavailable: why the type is known and cannot be used (its plugin cannot be imported), else None.
    """

    options_model: type[BaseModel] | None
    unavailable: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """One entry of "connections".

    Attributes:
        name: the id, where the file gives none.
        config: as the plugin gets it: references replaced by the secrets. Never show it.
        settings: complete: the connection's own over the file's; `auto_reconnect` may also come from the config.
        raw_config: as written, references unresolved and inline secrets replaced by `***`. This may be shown.
        fingerprint: equal for two configs that a plugin cannot tell apart, apart from `auto_reconnect`.
    """

    id: str
    type: str
    name: str
    enabled: bool
    config: dict[str, Any] = field(repr=False)
    settings: SupervisionSettings
    raw_config: dict[str, Any]
    fingerprint: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """`connections.json`, checked. The connections are in the order of the file.

    Attributes:
        warnings: what deserves attention and does not stand in the way.
    """

    path: Path
    settings: GlobalSettings
    connections: Mapping[str, ConnectionConfig]
    warnings: tuple[Problem, ...] = ()


def fingerprint(config: Mapping[str, Any], *, without: str) -> str:
    """A digest of a config except one key. Taken when it is read: plugins may change the dictionary they get."""
    rest = {key: value for key, value in config.items() if key != without}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
