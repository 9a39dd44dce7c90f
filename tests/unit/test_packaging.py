"""What is installed: the wheel has what it needs, nothing else, and works without this checkout."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/__init__.py"))


def entries(group: str) -> list[EntryPoint]:
    return [entry for entry in entry_points(group=group) if entry.dist and entry.dist.name == "connmgr"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the pinned backend as any installer would build it, without isolation."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_top_level_names(names: list[str]) -> None:
    """The wheel brings connmgr and one package for each plugin, and no stray file into the root of site-packages."""
    top = {name.partition("/")[0] for name in names if not name.startswith("connmgr-")}
    assert top == {"connmgr", *(path.name for path in PLUGINS)}


def test_nothing_of_the_workshop(names: list[str]) -> None:
    """No tests, caches or node modules are installed."""
    parts = {part for name in names for part in name.split("/")}
    assert not parts & {"tests", "plugins", "examples", "__pycache__", "node_modules", "conftest.py"}


def test_every_package_is_typed(names: list[str]) -> None:
    """Type checkers see the types of the core and of every plugin."""
    for package in ("connmgr", *(path.name for path in PLUGINS)):
        assert f"{package}/py.typed" in names


def test_shared_files(wheel: Path) -> None:
    """The unit and the example configuration are installed, the latter also where `connmgr demo` finds it."""
    with zipfile.ZipFile(wheel) as archive:
        data = f"connmgr-{version('connmgr')}.data/data"
        configuration = (ROOT / "config/connections.json").read_bytes()
        assert archive.read(f"{data}/share/connmgr/connections.json") == configuration
        assert archive.read("connmgr/demo_connections.json") == configuration
        unit = archive.read(f"{data}/lib/systemd/system/connmgr.service")
    assert unit == (ROOT / "systemd/connmgr.service").read_bytes()


def test_the_wheel_works_alone(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, every module of the wheel imports from there, and every entry point loads."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = f"""
import importlib, pkgutil, sys
checkout = {[str(ROOT), str(ROOT / "plugins")]!r}  # the editable installation's two lines
sys.path[:] = [{str(tmp_path)!r}] + [path for path in sys.path if path not in checkout]
from importlib.metadata import distribution
for name in {["connmgr", *(path.name for path in PLUGINS)]!r}:
    package = importlib.import_module(name)
    assert package.__file__.startswith({str(tmp_path)!r}), package.__file__
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
for entry in distribution("connmgr").entry_points:
    entry.load()
"""
    command = [sys.executable, "-I", "-c", program]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("group", ["connmgr.connections", "connmgr.simulators"])
def test_entry_points(group: str) -> None:
    """Every plugin package has its entry in both groups, installed as written in pyproject.toml; each is a class."""
    found = {entry.name: entry.value for entry in entries(group)}
    assert found == PROJECT["project"]["entry-points"][group], "entry points are metadata: run `make test` or reinstall"
    assert {f"connmgr_{name}" for name in found} == {path.name for path in PLUGINS}
    assert all(isinstance(entry.load(), type) for entry in entries(group))


def test_version() -> None:
    """The version is written once, in pyproject.toml."""
    assert version("connmgr") == PROJECT["project"]["version"]


def test_no_second_copy() -> None:
    """Importing a plugin as plugins.connmgr_x would make a second class of the same name: nothing offers or does it."""
    assert not (ROOT / "plugins/__init__.py").exists()
    assert not [name for name in sys.modules if name.startswith("plugins.")]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_plugins_see_only_what_is_public(plugin: Path) -> None:
    """A built-in plugin imports of connmgr what a third party's plugin may: connmgr and connmgr.testing."""
    for path in plugin.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            else:
                continue
            core = [module.split(".") for module in modules if module.split(".")[0] == "connmgr"]
            private = [module for module in core if module[:2] not in (["connmgr"], ["connmgr", "testing"])]
            assert not private, f"{path}:{node.lineno} imports {private}"


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-dev.txt"])
def test_constraints(name: str) -> None:
    """Every package is pinned with hashes, no address is named, and what pyproject.toml asks for is among them."""
    text = (ROOT / name).read_text()
    requirements = text.replace("\\\n", " ").splitlines()
    assert all("==" in line and "--hash=sha256:" in line for line in requirements)
    assert "://" not in text
    pinned = {line.partition("==")[0] for line in requirements}
    extras = ["build", "uvloop"] if name == "constraints.txt" else ["build", "uvloop", "dev"]
    wanted = [*PROJECT["project"]["dependencies"]]
    for extra in extras:
        wanted += PROJECT["project"]["optional-dependencies"][extra]
    bare = {line.partition(">=")[0] for line in wanted if not line.startswith("connmgr[")}
    assert bare <= pinned, f"{bare - pinned} missing: make constraints"
