"""What the documents say can be done: every command, program and configuration in them is run or checked."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from aiohttp import web

import connmgr
from connmgr.api.control import Control
from connmgr.api.routes import make_app
from connmgr.cli import client
from connmgr.cli.app import app
from connmgr.commands import Command
from connmgr.manager import ConnectionManager
from connmgr.secrets import REFERENCE_KINDS
from connmgr.testing.contract import RULES
from tests.system.documents import DOCUMENTS, ROOT, Block, anchors, blocks, commands, links, prose
from tests.system.stage import Stage, stage

KNOWN = {"json", "mermaid", "python", "sh", "text", "toml"}
NEEDS_ROOT = {"systemd/README.md"}
FRAGMENTS = {"examples/README.md"}  # lines out of the files beside it
API = "docs/api.md"
PLUGIN = "docs/writing-a-plugin.md"


def having(*languages: str) -> list[str]:
    return [document for document in DOCUMENTS if blocks(document, *languages)]


@pytest.fixture
def scratch() -> Iterator[Stage]:
    with stage() as found:
        yield found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_kinds_of_blocks(document: str) -> None:
    """Every block is of a kind that is checked; what a program prints is `text`."""
    unknown = [f"{block} is {block.language or 'of no kind'}" for block in blocks(document)]
    assert not [each for each in unknown if each.rpartition(" ")[2] not in KNOWN]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links(document: str) -> None:
    """Every link within the repository leads somewhere, to the very heading."""
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), f"{document}: {link}"
        if anchor:
            assert anchor in anchors(str(target.resolve().relative_to(ROOT))), f"{document}: {link}"


def test_every_document_is_in_the_index() -> None:
    """docs/README.md leads to every document."""
    listed = {(ROOT / "docs" / link.partition("#")[0]).resolve() for link in links("docs/README.md")}
    missing = [name for name in DOCUMENTS if (ROOT / name) not in listed and name != "docs/README.md"]
    assert not [name for name in missing if not name.startswith("benchmarks/")]


@pytest.mark.parametrize("document", having("json"))
def test_configurations(document: str, tmp_path: Path) -> None:
    """Every configuration is one that `connmgr check` calls good."""
    for block in blocks(document, "json"):
        found = json.loads(block.text)
        if document == API:
            continue  # answers of the daemon, compared with real ones below
        if "connections" not in found:
            assert all("type" in entry for entry in found.values()), f"{block} is no configuration"
            found = {"connections": found}
        file = tmp_path / "connections.json"
        file.write_text(json.dumps(resolved(found)))
        ConnectionManager().read(file, strict=True)


def resolved(value: Any) -> Any:
    """A configuration with something in place of its secret references."""
    if isinstance(value, dict) and any(key.startswith("$") for key in value.keys() - {"$schema"}):
        assert value.keys() <= REFERENCE_KINDS.keys()
        return "a secret"
    if isinstance(value, dict):
        return {key: resolved(item) for key, item in value.items()}
    return [resolved(item) for item in value] if isinstance(value, list) else value


@pytest.mark.timeout(120)
@pytest.mark.parametrize("document", having("python"))
def test_programs(document: str, request: pytest.FixtureRequest) -> None:
    """The Python of a document, taken together, is a program that runs."""
    texts = [block.text for block in blocks(document, "python")]
    if document in FRAGMENTS:
        for text in texts:
            compile("def fragment():\n" + textwrap.indent(text, "    "), document, "exec")
        return
    scratch: Stage = request.getfixturevalue("scratch")
    configurations = [block.text for block in blocks(document, "json") if '"connections"' in block.text]
    if len(configurations) == 1:
        (scratch.folder / "connections.json").write_text(scratch.moved(configurations[0]))
    scratch.program("\n\n".join(texts))


@pytest.mark.timeout(180)
@pytest.mark.needs("curl", "make")
@pytest.mark.parametrize("document", [name for name in having("sh") if name not in NEEDS_ROOT])
def test_shell(document: str, scratch: Stage) -> None:
    """The commands of a document, in its order, work; answers of the control API have the form that is shown."""
    if document == API:
        start = "connmgr run -c config/connections.json\n"
        scratch.shell(Block(document, 0, "sh", start))
    found = blocks(document)
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block.language != "sh":
            continue
        printed = scratch.shell(block)
        if following is not None and following.language == "json":
            told, real = json.loads(scratch.moved(following.text)), json.loads(printed)
            if "problem" in str(told.get("type")):
                assert without_columns(told) == without_columns(real), following
            else:
                assert difference(told, real) == [], following


def difference(told: Any, real: Any, at: str = "") -> list[str]:
    """Where two answers are of different form."""
    if isinstance(told, dict) and isinstance(real, dict):
        return [f"{at}.{key} only once" for key in told.keys() ^ real.keys()] + [
            line for key in told.keys() & real.keys() for line in difference(told[key], real[key], f"{at}.{key}")
        ]
    if isinstance(told, list) and isinstance(real, list):
        return [line for one in real[:1] for line in difference(told[0], one, f"{at}[0]")] if told else []
    number = (int, float)
    alike = type(told) is type(real) or (type(told) in number and type(real) in number) or None in (told, real)
    return [] if alike else [f"{at}: {told!r} and {real!r}"]


def without_columns(answer: Any) -> str:
    """Without what depends on the length of a port."""
    return re.sub(r'(:\d+:|"column": )\d+', r"\1", json.dumps(answer, sort_keys=True))


@pytest.mark.parametrize("document", sorted(NEEDS_ROOT))
def test_shell_of_root(document: str, tmp_path: Path) -> None:
    """What only root can do is at least shell, and names only files that are there."""
    for block in blocks(document, "sh"):
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True, timeout=10)
        for path in re.findall(r"(?<=\s)(?:config/|constraints)\S+", block.text):
            assert (ROOT / path).exists(), path
        for path in re.findall(r"/opt/connmgr/(lib/\S+)", block.text):
            assert (
                path
                in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
                    "shared-data"
                ].values()
            )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands(document: str) -> None:
    """Every `connmgr …` in a document, in the middle of a sentence too, is a command with options that exist."""
    for words in commands(document):
        command: Any = typer.main.get_command(app)
        arguments = list(words)
        while arguments and hasattr(command, "commands") and not arguments[0].startswith("-"):
            known, word = command.commands, arguments[0]
            if "show" in known and word not in known:
                break
            assert word in known, f"{document}: connmgr {' '.join(words)}"
            command = known[arguments.pop(0)]
        command = getattr(command, "commands", {}).get("show", command)
        known_options = {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"}
        given = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)}
        assert given <= known_options, f"{document}: connmgr {' '.join(words)}"


@pytest.mark.parametrize("document", having("toml"))
def test_toml(document: str) -> None:
    """It is TOML, and the groups of entry points are those that are read."""
    for block in blocks(document, "toml"):
        groups = tomllib.loads(block.text)["project"]["entry-points"]
        assert set(groups) == {"connmgr.connections", "connmgr.simulators"}


def test_generated_parts() -> None:
    """What is generated in docs/ is what the program would write now."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    documents = generate.documents()
    assert {path.name for path in documents} == {"configuration.md", "states.md", "writing-a-plugin.md"}
    for path in documents:
        assert path.read_text(encoding="utf-8") == generate.rendered(path), f"{path}: python docs/generate.py"


@pytest.mark.timeout(150)
def test_the_plugin_of_the_page_keeps_the_contract(tmp_path: Path) -> None:
    """The plugins that docs/writing-a-plugin.md shows pass the conformance kit, as it says."""
    program = tmp_path / "test_page.py"
    program.write_text("\n\n".join(block.text for block in blocks(PLUGIN, "python")))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(program)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=140, check=False)
    assert result.returncode == 0, result.stdout
    assert f"{2 * len(RULES)} passed" in result.stdout


def test_the_kits_rules() -> None:
    """docs/writing-a-plugin.md says for every rule what it finds."""
    listed = re.findall(
        r"^\| `(\w+)` \|", prose(PLUGIN).partition("What each of them typically finds")[2], re.MULTILINE
    )
    assert [name for name in listed if name in RULES] == list(RULES)


def test_routes() -> None:
    """docs/api.md has every route and no other; every command; every kind of problem."""
    text = prose(API)
    listed = set(re.findall(r"^\| `(GET|POST) (\S+)` \|", text, re.MULTILINE))
    routes = make_app(Control(ConnectionManager(), lambda _: None)).router.routes()  # type: ignore[arg-type,return-value]
    assert listed == {
        (route.method, route.resource.canonical)
        for route in routes
        if isinstance(route, web.ResourceRoute) and route.method != "HEAD" and route.resource is not None
    }
    assert {f"`{command.value}`" for command in Command} <= set(re.findall(r"^\| (`\w+`) \|", text, re.MULTILINE))
    problems = ast.parse((ROOT / "connmgr/api/problems.py").read_text())
    kinds = {
        str(node.args[1].value)
        for node in ast.walk(problems)
        if isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
        if isinstance(node.func, ast.Name) and node.func.id == "problem"
    }
    assert kinds
    assert all(f"| `{kind}` |" in text for kind in kinds)


def test_exit_codes() -> None:
    """README.md has every exit code of the program."""
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", prose("README.md"), re.MULTILINE)}
    from connmgr import daemon

    assert listed == {value for module in (client, daemon) for name, value in vars(module).items() if "EXIT_" in name}


def test_modules() -> None:
    """docs/architecture.md has every module of the core and no other."""
    text = prose("docs/architecture.md")
    listed = set(re.findall(r"`(\w+\.py|\w+/)`", text)) - {"pyproject.toml"}
    package = Path(connmgr.__file__).parent
    modules = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert listed == modules | folders, "each module has its line in docs/architecture.md"
