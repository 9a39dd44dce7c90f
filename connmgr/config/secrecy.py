"""Which values of one connection's config are secrets, and the config without them."""

from __future__ import annotations

import urllib.parse
from typing import Any

from pydantic import BaseModel

from connmgr.config.explain import holds_secret
from connmgr.places import Path
from connmgr.secrets import HIDDEN, Resolution, hide_url_passwords, looks_secret, url_passwords


class Secrecy:
    """Knows the secrets of one config: what references led to, what the key's name or the plugin's model calls one.

    Attributes:
        values: the secrets, to be remembered by a `Redactor`.
        public: the config as written, with `***` in place of secrets written out.
        is_inline: whether there were any such.
    """

    def __init__(self, raw: dict[str, Any], resolution: Resolution, model: type[BaseModel] | None) -> None:
        self._resolution = resolution
        self._model = model
        self.values: list[str] = []
        self.is_inline = False
        self.public: dict[str, Any] = self._separate(raw, resolution.value, ())

    def covers(self, path: Path) -> bool:
        """Whether the value at a path must not be shown."""
        return (
            any(looks_secret(key) for key in path if isinstance(key, str))
            or any(path[:length] in self._resolution.resolved for length in range(1, len(path) + 1))
            or (self._model is not None and holds_secret(self._model, path))
        )

    def _separate(self, raw: Any, value: Any, path: Path) -> Any:  # noqa: ANN401 - any JSON value
        if path in self._resolution.failed:
            return raw
        if path in self._resolution.resolved:
            self._take(value)
            return raw
        if isinstance(raw, dict):
            return {key: self._separate(item, value[key], (*path, key)) for key, item in raw.items()}
        if isinstance(raw, list):
            return [self._separate(item, value[index], (*path, index)) for index, item in enumerate(raw)]
        if isinstance(raw, str):
            return self._of_text(raw, path)
        is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
        return HIDDEN if is_number and self.covers(path) else raw

    def _of_text(self, text: str, path: Path) -> str:
        is_secret = bool(text) and self.covers(path)
        shown = HIDDEN if is_secret else hide_url_passwords(text)
        if shown != text:
            self.is_inline = True
            self._take(text, is_whole=is_secret)
        return shown

    def _take(self, text: str, *, is_whole: bool = True) -> None:
        """Note a secret, and the passwords of URLs in it; with `is_whole` false only the latter."""
        if is_whole:
            self.values.append(text)
        for password in url_passwords(text):
            self.values += [password, urllib.parse.unquote(password)]
