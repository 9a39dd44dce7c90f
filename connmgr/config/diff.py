"""What a reload has to do: the difference between two configurations."""

from __future__ import annotations

from dataclasses import dataclass

from connmgr.config.model import Config, ConnectionConfig
from connmgr.settings import GlobalSettings, SupervisionSettings


@dataclass(frozen=True, slots=True)
class Diff:
    """Ids by what happens to them, each id once, in the order of the new file (`removed`: of the old one).

    Attributes:
        changed: another type, config or `enabled`: the connection is replaced.
        settings_only: other supervision settings, perhaps also another name: the socket stays.
        name_only: nothing but the name: the socket stays.
        limits_changed: the limits that all connections share (`dial_rate`, …) are others.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    settings_only: tuple[str, ...] = ()
    name_only: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    limits_changed: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether a reload would change nothing at all."""
        return not (
            self.added or self.removed or self.changed or self.settings_only or self.name_only or self.limits_changed
        )


def diff(old: Config, new: Config) -> Diff:
    """What changes from one configuration to the next. A secret that changed counts as a changed config."""
    sorted_ids: dict[str, list[str]] = {
        "added": [],
        "changed": [],
        "settings_only": [],
        "name_only": [],
        "unchanged": [],
    }
    for key, connection in new.connections.items():
        sorted_ids[_fate(old.connections.get(key), connection)].append(key)
    return Diff(
        removed=tuple(key for key in old.connections if key not in new.connections),
        limits_changed=_limits(old.settings) != _limits(new.settings),
        **{fate: tuple(ids) for fate, ids in sorted_ids.items()},
    )


def _fate(old: ConnectionConfig | None, new: ConnectionConfig) -> str:
    if old is None:
        return "added"
    if (old.type, old.enabled, old.fingerprint) != (new.type, new.enabled, new.fingerprint):
        return "changed"
    if old.settings != new.settings:
        return "settings_only"
    return "unchanged" if old.name == new.name else "name_only"


def _limits(settings: GlobalSettings) -> dict[str, object]:
    return settings.model_dump(exclude=set(SupervisionSettings.model_fields))
