"""Secrets: references to them in `connections.json`, and keeping them out of everything that is shown.

A reference is an object with one key, anywhere inside a "config": `{"$env": "NAME"}`, `{"$file": "/path"}` or
`{"$credential": "name"}` (a systemd credential). It stands for the text found there.
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, Final

from connmgr.files import UnreadableFile, read_regular_file

Path = tuple[str | int, ...]

HIDDEN: Final = "***"
SIZE_LIMIT: Final = 64 * 1024
SHORTEST: Final = 4
"""Characters from which on a secret is hidden in texts: a shorter one would hide half of every sentence."""

_LONG_LINE: Final = 16
_ENVIRONMENT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS: Final = frozenset({"key", "apikey", "auth", "authorization", "bearer", "cookie", "pass", "pwd"})
_ABOUT_SECRETS: Final = frozenset(
    {"dir", "directory", "file", "interval", "length", "name", "path", "size", "timeout", "type", "uri", "url"}
)
_SECRET_PARTS: Final = ("password", "passwd", "passphrase", "secret", "token", "credential", "apikey", "privatekey")
_URL_PASSWORD: Final = re.compile(r"(://[^\s/?#:@]*:)([^\s/?#]+)(?=@)")


@lru_cache(maxsize=4096)
def looks_secret(key: str) -> bool:
    """Whether a key's name says that its value is nobody's business: `password`, `api_key`, `authToken`, …

    `key_file` or `token_url` only say where to find or how to handle one.
    """
    words = [word.lower() for word in _WORDS.findall(key)]
    if not words or words[-1] in _ABOUT_SECRETS:
        return False
    joined = "".join(words)
    return any(part in joined for part in _SECRET_PARTS) or not _SECRET_WORDS.isdisjoint(words)


def hide_url_passwords(text: str) -> str:
    """`http://user:password@host` without the password."""
    return _URL_PASSWORD.sub(rf"\1{HIDDEN}", text)


def url_passwords(text: str) -> list[str]:
    """The passwords in the URLs of a text."""
    return [match.group(2) for match in _URL_PASSWORD.finditer(text)]


class UnresolvedReference(Exception):
    """A reference leads nowhere. Says why, never what was found; `remedy` may be empty."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(slots=True)
class Resolution:
    """A value with its references replaced.

    Attributes:
        value: a deep copy; a reference that could not be resolved is None in it.
        resolved: the paths that were references and now hold their text.
        failed: the paths whose references could not be resolved, with the reason.
    """

    value: Any = None
    resolved: set[Path] = field(default_factory=set)
    failed: dict[Path, UnresolvedReference] = field(default_factory=dict)


def is_reference(value: object) -> bool:
    """Whether a JSON value is a reference, or was meant to be one: an object with a key that starts with `$`."""
    return isinstance(value, dict) and any(key.startswith("$") for key in value)


def resolve(value: Any, directory: FilePath) -> Resolution:  # noqa: ANN401 - any JSON value
    """Replace all references in a JSON value. Reads files and the environment; raises nothing.

    Args:
        value: at most `places.MAX_DEPTH` deep.
        directory: what a relative path in `$file` is relative to.
    """
    result = Resolution()
    result.value = _resolve(value, directory, (), result)
    return result


def _resolve(value: Any, directory: FilePath, path: Path, result: Resolution) -> Any:  # noqa: ANN401
    if is_reference(value):
        try:
            text = _look_up(value, directory)
        except UnresolvedReference as error:
            result.failed[path] = error
            return None
        result.resolved.add(path)
        return text
    if isinstance(value, dict):
        return {key: _resolve(item, directory, (*path, key), result) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, directory, (*path, index), result) for index, item in enumerate(value)]
    return value


def _look_up(reference: Mapping[str, Any], directory: FilePath) -> str:
    if len(reference) != 1:
        raise UnresolvedReference("a secret reference has one key and no other", "take the other keys out")
    kind, name = next(iter(reference.items()))
    if kind not in _SOURCES:
        raise UnresolvedReference("this kind of secret reference does not exist", f"there are {', '.join(_SOURCES)}")
    if not isinstance(name, str) or not name:
        raise UnresolvedReference(f"{kind} needs a name", f'write {{"{kind}": "…"}}')
    return _SOURCES[kind](name, directory)


def _from_environment(name: str, _: FilePath) -> str:
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise UnresolvedReference("not the name of an environment variable", "letters, digits and _ are allowed")
    text = os.environ.get(name)
    if text is None:
        raise UnresolvedReference(f"the environment variable {name} is not set", "set it where connmgr is started")
    if not text:
        raise UnresolvedReference(f"the environment variable {name} is empty", "set it where connmgr is started")
    if not _is_unicode(text):
        raise UnresolvedReference(f"the environment variable {name} is not UTF-8", "set it to UTF-8 text")
    return text


def _from_file(name: str, directory: FilePath) -> str:
    return _read(directory / name)


def _from_credential(name: str, _: FilePath) -> str:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise UnresolvedReference(
            "systemd passed no credentials to this process", "add LoadCredential= to the unit, or use $file here"
        )
    if "/" in name or name in (".", ".."):
        raise UnresolvedReference("not the name of a credential", "write the name alone, as in LoadCredential=")
    try:
        return _read(FilePath(directory) / name)
    except UnresolvedReference as error:
        remedy = f"add LoadCredential={name}:… to the unit" if "no such file" in error.message else error.remedy
        raise UnresolvedReference(error.message, remedy) from None


REFERENCE_KINDS: Final[Mapping[str, str]] = {
    "$env": "Name of an environment variable.",
    "$file": "Path of a file; a relative one starts at the directory of connections.json.",
    "$credential": "Name of a systemd credential (LoadCredential= in the unit).",
}

_SOURCES: Final[dict[str, Callable[[str, FilePath], str]]] = {
    "$env": _from_environment,
    "$file": _from_file,
    "$credential": _from_credential,
}


def _read(path: FilePath) -> str:
    what = f"cannot read {_printable(path)}"
    try:
        data = read_regular_file(path, SIZE_LIMIT).data
    except UnreadableFile as error:
        raise UnresolvedReference(f"{what}: {error.message}", error.remedy) from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UnresolvedReference(f"{what}: not UTF-8 text", "a secret is text; encode a binary one") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UnresolvedReference(f"{what}: it is empty", "write the secret into it")
    return text


def _printable(path: FilePath) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(path)[:200])


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Redactor:
    """Remembers secrets and hides them in texts. Safe to use from several threads.

    A text is cut into pieces of four characters that are looked up in one set, so that the effort depends on the
    length of the text and hardly on the number of secrets.
    """

    def __init__(self) -> None:
        self._by_start: dict[str, tuple[str, ...]] = {}

    def remember(self, secrets: Iterable[str]) -> None:
        """Hide these from now on, also in the forms JSON, `repr` and URLs give them; too short ones are ignored."""
        known = dict(self._by_start)
        for secret in secrets:
            for form in _forms(secret):
                same_start = known.get(form[:SHORTEST], ())
                if form not in same_start:
                    known[form[:SHORTEST]] = tuple(sorted((*same_start, form), key=len, reverse=True))
        self._by_start = known  # in one step: other threads see the old or the new one

    def scrub(self, text: str) -> str:
        """The text with `***` in place of every remembered secret."""
        known = self._by_start
        if not known or known.keys().isdisjoint({text[at : at + SHORTEST] for at in range(len(text) - SHORTEST + 1)}):
            return text
        pieces, done = [], 0
        for start, end in _merged(_matches(text, known)):
            pieces += [text[done:start], HIDDEN]
            done = end
        return "".join(pieces) + text[done:]


def _forms(secret: str) -> set[str]:
    """The secret as others may write it, and the lines of a long one (a key file), which can appear alone."""
    forms = {secret, *(line for line in secret.splitlines() if len(line) >= _LONG_LINE)}
    for form in tuple(forms):
        forms |= {json.dumps(form)[1:-1], json.dumps(form, ensure_ascii=False)[1:-1], repr(form)[1:-1]}
        in_bytes = form.encode(errors="surrogatepass")  # JSON can hold half a character: "\ud800"
        forms |= {urllib.parse.quote(in_bytes, safe=""), urllib.parse.quote_plus(in_bytes)}
    return {form for form in forms if len(form) >= SHORTEST} if len(secret) >= SHORTEST else set()


def _matches(text: str, known: Mapping[str, tuple[str, ...]]) -> Iterable[tuple[int, int]]:
    for at in range(len(text) - SHORTEST + 1):
        for secret in known.get(text[at : at + SHORTEST], ()):
            if text.startswith(secret, at):
                yield at, at + len(secret)
                break


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    # Two secrets can overlap in a text; hiding only the first would leave the end of the second.
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


redactor: Final = Redactor()
"""The one that the whole process shares: loading a configuration fills it, logs and answers pass through it."""
