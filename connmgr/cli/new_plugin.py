"""Writing a new plugin: a folder with a project, a connection, a simulated device and tests, from templates."""

import keyword
import re
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
PACKAGE = "PACKAGE"
FILES = {
    # template: where it goes
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "init.py.txt": f"{PACKAGE}/__init__.py",
    "connection.py.txt": f"{PACKAGE}/connection.py",
    "simulator.py.txt": f"{PACKAGE}/simulator.py",
    "py.typed.txt": f"{PACKAGE}/py.typed",
    "test.py.txt": "tests/test_NAME.py",
}


class CannotWrite(Exception):
    """The name or the place will not do; the text says why and what would."""


def write(name: str, directory: Path, taken: Mapping[str, str]) -> Path:
    """Write the plugin `name` to `directory/name`.

    Args:
        taken: the types that exist, with who brings them.

    Returns:
        The folder.

    Raises:
        CannotWrite: the name is no good, or the folder exists.
        OSError: the folder cannot be written; what had been written of it is removed.
    """
    _check(name, taken)
    folder = directory / name
    words = _words(name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError:
        what = folder if folder.exists() or folder.is_symlink() else directory
        raise CannotWrite(f"cannot write to {what}: it exists; choose another name or --directory") from None
    try:
        for template, place in FILES.items():
            target = folder / place.replace(PACKAGE, words["package"]).replace("NAME", name)
            target.parent.mkdir(exist_ok=True)
            text = (files("connmgr.cli") / "template" / template).read_text(encoding="utf-8")
            target.write_text(Template(text).substitute(words), encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def next_steps(name: str, folder: Path) -> list[str]:
    """What to do with it, in three steps."""
    words = _words(name)
    return [
        f"Wrote {folder}/: a connection type {name}, a simulated device, and tests that pass as they are. Next:",
        f'  1. cd {folder} && pip install -e ".[dev]" && pytest',
        f"  2. make {words['package']}/connection.py speak to your device, and simulator.py answer like it",
        f'  3. use it: "type": "{name}" in connections.json; its options: connmgr plugins {name}',
    ]


def _check(name: str, taken: Mapping[str, str]) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name.endswith("_") or "__" in name:
        raise CannotWrite(
            f"cannot call a plugin {name!r}: use lower-case letters, digits and single underscores, a letter first,"
            " at most 40, such as my_device"
        )
    if name in taken:
        origin = f" from {taken[name]}" if taken[name] else ""
        what = f"there is such a connection type already{origin}"
        raise CannotWrite(f"cannot call a plugin {name!r}: {what}; take another name")


def _words(name: str) -> dict[str, str]:
    """What stands for what in the templates."""
    from connmgr import __version__

    return {
        "name": name,
        "project": f"connmgr-{name.replace('_', '-')}",
        "package": f"connmgr_{name}",
        "Class": "".join(part.capitalize() for part in name.split("_")),
        "connmgr_version": __version__,
    }
