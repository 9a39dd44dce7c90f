"""From the text of `connections.json` to a `Config`, or to everything that is wrong with it."""

from __future__ import annotations

import dataclasses
import json
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from connmgr.config.document import TYPE_PATTERN, ConnectionSection, FileSection, is_connection_id
from connmgr.config.explain import explain
from connmgr.config.model import Config, ConnectionConfig, TypeInfo, fingerprint
from connmgr.config.problems import (
    ConfigProblems,
    Finding,
    Place,
    Problem,
    nearest,
    place_findings,
    quoted,
    shown,
    spell,
)
from connmgr.config.secrecy import Secrecy
from connmgr.config.strict_json import read_json
from connmgr.files import UnreadableFile, read_regular_file
from connmgr.places import JsonSyntaxError, Lines, Path
from connmgr.secrets import Redactor, Resolution, is_reference, resolve
from connmgr.secrets import redactor as shared_redactor
from connmgr.settings import GlobalSettings, SupervisionSettings

SIZE_LIMIT: Final = 8 << 20
AUTO_RECONNECT: Final = "auto_reconnect"

Lookup = Callable[[str], TypeInfo | None]
Known = Callable[[], Iterable[str]]
_ModelT = TypeVar("_ModelT", bound=BaseModel)

_TYPE: Final = re.compile(TYPE_PATTERN.replace("$", r"\Z"))


def load(
    path: str | FilePath, lookup: Lookup, known: Known, *, strict: bool = False, redactor: Redactor = shared_redactor
) -> Config:
    """Read a configuration file; touches no network.

    Args:
        lookup: what is known about a connection type, or None; asked only for types the file names.
        known: the names of all types, for suggestions; asked only when a type is unknown.
        strict: a type that is known and cannot be imported is a problem too, not only a connection that is suspended.
        redactor: learns every secret, also when the file turns out to be unusable.

    Raises:
        ConfigProblems: with everything that is wrong.
    """
    try:
        content = read_regular_file(FilePath(path), SIZE_LIMIT)
    except UnreadableFile as error:
        problem = Problem(Place(str(path)), "", f"cannot read the configuration: {error.message}", error.remedy)
        raise ConfigProblems([problem]) from None
    config = parse(content.data, str(path), lookup, known, strict=strict, redactor=redactor)
    return config if content.mode & stat.S_IROTH else dataclasses.replace(config, warnings=())


def parse(
    text: str | bytes,
    file: str,
    lookup: Lookup,
    known: Known,
    *,
    strict: bool = False,
    redactor: Redactor = shared_redactor,
) -> Config:
    """The same as `load` for a text that is already there; `file` is its name, relative secret files are beside it."""
    text = text if isinstance(text, str) else _decode(text, file)
    try:
        document, flaws = read_json(text)
    except JsonSyntaxError as error:
        place = Place(file, *Lines(text).at(error.offset))
        raise ConfigProblems([Problem(place, "", error.message, error.remedy)]) from None
    reader = _Reader(FilePath(file), lookup, known, strict=strict, redactor=redactor)
    config = reader.read(document)
    findings = flaws + reader.findings
    if findings or config is None:
        raise ConfigProblems(_scrubbed(place_findings(findings, text, file), redactor))
    return config


def _decode(data: bytes, file: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problem = Problem(Place(file, 1, 1), "", "the file is UTF-16", "save it as UTF-8")
        raise ConfigProblems([problem])
    bad, message = data.find(b"\0"), "a NUL byte; the file is not text, or not UTF-8"
    try:
        text = data.decode("utf-8-sig")  # Windows' editors put a byte-order mark in front; it does no harm
    except UnicodeDecodeError as error:
        start = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        if not 0 <= bad < start:
            bad, message = start, f"byte 0x{data[start]:02X} is not UTF-8"
        text = ""
    if bad < 0:
        return text
    line, column = Lines(before := data[:bad].decode("utf-8-sig", errors="replace")).at(len(before))
    raise ConfigProblems([Problem(Place(file, line, column), "", message, "save it as UTF-8")]) from None


def _scrubbed(problems: Iterable[Problem], redactor: Redactor) -> list[Problem]:
    return [
        Problem(problem.place, problem.path, redactor.scrub(problem.message), problem.remedy) for problem in problems
    ]


class _Reader:
    """One pass over one document; collects findings instead of stopping at the first."""

    def __init__(self, path: FilePath, lookup: Lookup, known: Known, *, strict: bool, redactor: Redactor) -> None:
        self.findings: list[Finding] = []
        self._path = path
        self._lookup = lookup
        self._known = known
        self._strict = strict
        self._redactor = redactor
        self._types: dict[str, TypeInfo | None] = {}
        self._warnings: list[Problem] = []

    def read(self, document: Any) -> Config | None:  # noqa: ANN401 - any JSON value
        if not isinstance(document, dict):
            message = f"the file is {_kind(document)}, an object is expected"
            self.findings.append(Finding((), message, 'write {"connections": {…}}'))
            return None
        self._validate(FileSection, document, ())
        settings = self._global_settings(document.get("settings", {}))
        entries = document.get("connections", {})
        connections = {}
        for key, entry in entries.items() if isinstance(entries, dict) else ():
            connection = self._connection(key, entry, settings)
            if connection is not None:
                connections[key] = connection
        return Config(self._path, settings, MappingProxyType(connections), tuple(self._warnings))

    def _global_settings(self, section: object) -> GlobalSettings:
        """The file's settings; for those that are wrong, the defaults, so that connections can still be checked."""
        if not isinstance(section, dict):
            return GlobalSettings()
        settings, found = _settle(GlobalSettings, {}, section)
        self.findings += [finding.below(("settings",)) for finding in found]
        return settings

    def _connection(self, key: str, entry: object, base: GlobalSettings) -> ConnectionConfig | None:
        where: Path = ("connections", key)
        before = len(self.findings)
        if not is_connection_id(key):
            remedy = "1 to 64 letters, digits and _ . - are allowed, the first a letter, a digit or _"
            self.findings.append(Finding(where, "not the id of a connection", remedy, at_key=True))
        if not isinstance(entry, dict):
            message = f"this is {_kind(entry)}, an object is expected"
            self.findings.append(Finding(where, message, 'write {"type": "…", "config": {…}}'))
            return None
        section = self._validate(ConnectionSection, entry, where)
        kind, raw = entry.get("type"), entry.get("config", {})
        info = self._type(kind, (*where, "type")) if isinstance(kind, str) else None
        raw = raw if isinstance(raw, dict) else {}
        own = entry.get("settings", {})
        settings = self._settings(own if isinstance(own, dict) else {}, raw, base, where)
        config, public = self._config(raw, info, (*where, "config"))
        if section is None or len(self.findings) > before:
            return None
        return ConnectionConfig(
            id=key,
            type=section.type,
            name=section.name or key,
            enabled=section.enabled,
            config=config,
            settings=settings,
            raw_config=public,
            fingerprint=fingerprint(config, without=AUTO_RECONNECT),
        )

    def _type(self, name: str, where: Path) -> TypeInfo | None:
        """What is known about a type. Odd names never reach the registry."""
        if name not in self._types:
            self._types[name] = self._lookup(name) if _TYPE.match(name) else None
        info = self._types[name]
        if info is None:
            self.findings.append(Finding(where, f"no connection type {quoted(name)} is known", self._remedy(name)))
        elif info.unavailable is not None and self._strict:
            message = f"the connection type {quoted(name)} cannot be used: {info.unavailable}"
            self.findings.append(Finding(where, message, "install or repair its plugin"))
        return info

    def _remedy(self, name: str) -> str:
        known = list(self._known())
        return nearest(name, known) if known else "no plugin is installed"

    def _settings(
        self, own: dict[str, Any], config: dict[str, Any], base: GlobalSettings, where: Path
    ) -> SupervisionSettings:
        """The connection's own settings over the file's; `auto_reconnect` may stand in the config, as it always did."""
        inherited = base.supervision()
        from_config = config.get(AUTO_RECONNECT)
        if isinstance(from_config, bool):
            inherited = inherited.model_copy(update={AUTO_RECONNECT: from_config})
        elif AUTO_RECONNECT in config:
            message = f"this is {_kind(from_config)}, true or false is expected"
            self.findings.append(Finding((*where, "config", AUTO_RECONNECT), message))
        if not own:
            return inherited
        settings, found = _settle(SupervisionSettings, inherited.model_dump(), own)
        self.findings += [_for_connection(finding).below((*where, "settings")) for finding in found]
        return settings

    def _config(self, raw: dict[str, Any], info: TypeInfo | None, where: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """The config with its secrets, and as it may be shown; all secrets are remembered before anything can fail."""
        if is_reference(raw):
            message = "a secret reference stands for one text, not for the whole config"
            self.findings.append(Finding(where, message, "put it where the text belongs"))
            return {}, {}
        model = info.options_model if info is not None else None
        resolution = resolve(raw, self._path.parent)
        secrecy = Secrecy(raw, resolution, model)
        self._redactor.remember(secrecy.values)
        if secrecy.is_inline:
            self._warnings.append(self._warning(where))
        for path, failure in resolution.failed.items():
            self.findings.append(Finding((*where, *path), failure.message, failure.remedy))
        if model is not None:
            self._options(model, resolution, secrecy, where)
        return resolution.value, secrecy.public

    def _warning(self, where: Path) -> Problem:
        message = "a secret is written out in a file that everybody on this machine can read"
        remedy = f"chmod o-r {self._path}, or write a reference"
        return Problem(Place(str(self._path)), spell(where), message, remedy)

    def _options(self, model: type[BaseModel], resolution: Resolution, secrecy: Secrecy, where: Path) -> None:
        options = {key: value for key, value in resolution.value.items() if key != AUTO_RECONNECT}
        try:
            # As JSON, because then strict means: no "5" for 5, but text for an enum, an address or a path is fine.
            model.model_validate_json(json.dumps(options), strict=True)
        except ValidationError as error:
            if error.errors(include_input=False)[0]["type"] == "json_invalid":
                return  # half of a surrogate pair, which `read_json` has already told
            found = explain(error, model, options, secrecy.covers)
            # What it says about the gap that an unresolved secret left is dropped later: one place, one problem.
            self.findings += [finding.below(where) for finding in found]
        except Exception as error:  # noqa: BLE001 - a plugin's validator may raise anything; its text may hold a secret
            message = f"the plugin's check of its options failed ({type(error).__name__})"
            self.findings.append(Finding(where, message, "report it to the plugin's author"))

    def _validate(self, model: type[_ModelT], section: dict[str, Any], where: Path) -> _ModelT | None:
        try:
            return model.model_validate(section)
        except ValidationError as error:
            self.findings += [found.below(where) for found in explain(error, model, section, lambda _: False)]
            return None


def _kind(value: object) -> str:
    """What a JSON value is, without saying what it says."""
    if isinstance(value, str):
        return "text"
    return "a number" if isinstance(value, int | float) and not isinstance(value, bool) else shown(value)


def _for_connection(finding: Finding) -> Finding:
    """The limits that all connections share are no unknown keys; they only stand in the wrong place."""
    key = finding.path[-1] if finding.at_key else None
    if key not in GlobalSettings.model_fields:
        return finding
    message = "this limit is shared by all connections"
    return dataclasses.replace(finding, message=message, remedy='it belongs into the "settings" of the file')


def _settle(model: type[_ModelT], inherited: dict[str, Any], own: dict[str, Any]) -> tuple[_ModelT, list[Finding]]:
    """Settings without those that are wrong, and what is wrong with these.

    Takes several rounds: how settings go together is only checked once each is right by itself.
    """
    rest, findings = own, list[Finding]()
    while True:
        try:
            return model.model_validate({**inherited, **rest}), findings
        except ValidationError as error:
            found = explain(error, model, rest, lambda _: False)
            findings += found
            wrong = {finding.path[:1] for finding in found}
            rest = {} if () in wrong else {key: value for key, value in rest.items() if (key,) not in wrong}
