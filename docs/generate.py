"""Writes the generated parts of the documents: python docs/generate.py [--check]

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`. With `--check` nothing is written, and the exit
code is 1 when a part is not what would be written now.
"""  # noqa: INP001 - a script beside the documents, not a package

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel
from typer.testing import CliRunner

from connmgr.backoff import base_delay
from connmgr.cli.app import app
from connmgr.cli.plugin_options import options
from connmgr.config.document import ConnectionSection, FileSection
from connmgr.manager import ConnectionManager
from connmgr.secrets import REFERENCE_KINDS
from connmgr.settings import GlobalSettings, SupervisionSettings
from connmgr.states import HEALTH_CHECK_FAILED, TRANSITIONS, diagram
from connmgr.testing.contract import RULES

DOCS: Final = Path(__file__).parent
PART: Final = re.compile(r"(<!-- generated: ([a-z0-9 -]+) -->\n).*?(<!-- end -->)", re.DOTALL)
BUILT_IN: Final = ("tcp", "s7", "modbus", "serial", "http")

WRONG: Final = """\
{
  "settings": {
    "health_check_interval": "30",
    "reconect_max_attempts": 5
  },
  "connections": {
    "press": {"type": "s8", "config": {"host": "192.168.1.10"}},
    "mixer": {"type": "s7", "config": {"host": "192.168.1.11:102", "rack": "0"}},
    "boiler": {"type": "modbus", "config": {"host": "192.168.1.12", "port": 70000}},
    "scale 1": {"type": "serial", "config": {"port": "/dev/ttyUSB0", "baud": 9600}},
    "door": {"type": "tcp", "config": {"host": "192.168.1.13"}, "settings": {"dial_rate": 5}},
    "meter": {"type": "http", "config": {"base_url": "192.168.1.21"}},
    "weather": {"type": "http", "config": {"base_url": "http://192.168.1.20", "api_key": {"$env": "NO_SUCH_KEY"}}}
  }
}
"""

UNREADABLE: Final = (
    '{\n  "connections": {\n    "door": {"type": "tcp", "config": {"host": "10.0.0.4", "port": 5000}},\n  }\n}\n',
    '{\n  // the door\n  "connections": {}\n}\n',
    '{\n  "connections": {\n    "door": {"type": "tcp", "config": {"host": "10.0.0.4", "port": 5000}}\n',
)


def main(arguments: list[str]) -> int:
    """Write, or with `--check` compare; returns the exit code."""
    wrong = [path for path in documents() if path.read_text(encoding="utf-8") != rendered(path)]
    for path in wrong:
        if "--check" in arguments:
            sys.stderr.write(f"{path} is out of date: python docs/generate.py\n")
        else:
            path.write_text(rendered(path), encoding="utf-8")
    return 1 if wrong and "--check" in arguments else 0


def documents() -> list[Path]:
    """The documents that have generated parts."""
    return [path for path in sorted(DOCS.glob("*.md")) if PART.search(path.read_text(encoding="utf-8"))]


def rendered(path: Path) -> str:
    """The document with its generated parts as they are now.

    Raises:
        KeyError: it asks for a part that this program does not know.
    """
    text = path.read_text(encoding="utf-8")
    return PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}{found[3]}", text)


# --- states.md


def _diagram() -> str:
    return f"```mermaid\n{diagram()}```\n"


def _transitions() -> str:
    rows = [(f"`{old.value}`", f"`{new.value}`", f"`{event}`", why) for (old, new), (event, why) in TRANSITIONS.items()]
    return _table(("from", "to", "event", "when"), rows)


def _events() -> str:
    causes: dict[str, dict[str, None]] = {}
    for event, cause in TRANSITIONS.values():
        causes.setdefault(event, {}).update(dict.fromkeys(re.split(r", or |, ", cause)))
    causes[HEALTH_CHECK_FAILED] = {"the device did not answer as it should; the status stays as it is": None}
    return _table(("event", "when"), [(f"`{event}`", "; ".join(when)) for event, when in causes.items()])


def _pauses() -> str:
    settings = SupervisionSettings()
    pauses = [base_delay(settings, n) for n in range(settings.reconnect_max_attempts - 1)]
    listed = ", ".join(f"{pause:.4g} s" for pause in pauses)
    return f"With the defaults and without the spread: {listed}.\n\nThat is {sum(pauses) / 60:.0f} minutes together.\n"


# --- configuration.md


def _file() -> str:
    return _options(FileSection)


def _connection() -> str:
    return _options(ConnectionSection)


def _settings() -> str:
    return _options(SupervisionSettings)


def _limits() -> str:
    return _options(GlobalSettings, leave_out=SupervisionSettings.model_fields)


def _types() -> str:
    manager = ConnectionManager()
    parts = []
    for name in BUILT_IN:
        found = manager.registry.get(name)
        if found is None or found.options_model is None:
            raise LookupError(f"{name} is not installed, or has no options")
        module = found.__module__.partition(".")[0]
        link = f"What it does and how it is used: [plugins/{module}](../plugins/{module}/README.md)."
        parts.append(f"### `{name}`\n\n{link}\n\n{_options(found.options_model)}")
    return "\n".join(parts)


def _references() -> str:
    return _table(("write", "means"), [(f'`{{"{kind}": "…"}}`', text) for kind, text in REFERENCE_KINDS.items()])


def _errors() -> str:
    return f"```text\n{WRONG}```\n\n```text\n{_checked(WRONG)}```\n"


def _unreadable() -> str:
    return "\n".join(f"```text\n{text}```\n\n```text\n{_checked(text)}```\n" for text in UNREADABLE)


def _checked(text: str) -> str:
    """What `connmgr check connections.json` says to a file of that text."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("connections.json").write_text(text, encoding="utf-8")
        result = CliRunner(env={**os.environ, "NO_COLOR": "1"}).invoke(app, ["check", "connections.json"])
    if not result.exit_code:
        raise ValueError(f"a file that should be wrong is not: {text}")
    return f"$ connmgr check connections.json\n{result.output}"


def _options(model: type[BaseModel], leave_out: Iterable[str] = ()) -> str:
    """One row for each key of a model, those of nested objects with dotted keys."""
    rows = []
    for option in options(model):
        if option["key"] in leave_out:
            continue
        kind, limits = option["kind"], ""
        if " or " not in kind or kind == "true or false":
            kind, _, limits = kind.partition(", ")
        if _is_required(model, option["key"]):
            default = "required"
        else:
            default = f"`{json.dumps(option['default'], ensure_ascii=False)}`"
        rows.append((f"`{option['key']}`", kind.replace(" | ", ", "), default, limits, option["description"] or ""))
    return _table(("key", "kind", "default", "limits", "what it is"), rows)


def _is_required(model: type[BaseModel], key: str) -> bool:
    """Whether a (dotted) key has to be there, once the object is there that it belongs to."""
    first, _, rest = key.partition(".")
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    field = fields[first]
    if not rest:
        return field.is_required()
    inner = [one for one in (field.annotation, *get_args(field.annotation)) if _is_model(one)]
    return any(_is_required(one, rest) for one in inner)


def _is_model(value: Any) -> bool:  # noqa: ANN401 - whatever stands behind the colon
    return isinstance(value, type) and issubclass(value, BaseModel)


# --- writing-a-plugin.md


def _rules() -> str:
    return _table(
        ("rule", "the promise"),
        [(f"`{name}`", " ".join((rule.__doc__ or "").split("\n\n")[0].split())) for name, rule in RULES.items()],
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(_lines(head, rows))


def _lines(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n"
    yield f"|{'---|' * len(head)}\n"
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |\n"


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "diagram": _diagram,
    "transitions": _transitions,
    "events": _events,
    "pauses": _pauses,
    "file": _file,
    "connection": _connection,
    "settings": _settings,
    "limits": _limits,
    "types": _types,
    "references": _references,
    "errors": _errors,
    "unreadable": _unreadable,
    "rules": _rules,
}

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
