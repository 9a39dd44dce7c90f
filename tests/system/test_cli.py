"""Commands that need no daemon, by the program people run."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from connmgr import __version__
from tests.system.program import PROGRAM, connmgr, environment, plugin, until

ROOT = Path(__file__).parents[2]
GOOD = {"connections": {"press": {"type": "tcp", "config": {"host": "127.0.0.1", "port": 5000}}}}
TYPES = {"http", "modbus", "s7", "serial", "tcp"}


def test_version() -> None:
    """`connmgr --version` prints one line."""
    found = connmgr("--version")
    assert (found.returncode, found.stdout, found.stderr) == (0, f"connmgr {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["status", "--help"], ["status", "--socket", "/nix"]])
def test_start_up_is_light(arguments: list[str]) -> None:
    """These import neither aiohttp nor a plugin nor what a plugin needs, and the first two no pydantic."""
    code = (
        "import sys; sys.argv = ['connmgr', *sys.argv[1:]]\n"
        "from connmgr.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('IMPORTED', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    command = [sys.executable, "-c", code, *arguments]
    found = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=25, check=True)
    imported = set(found.stdout.rpartition("IMPORTED")[2].split())
    assert "connmgr" in imported
    assert not imported & {"aiohttp", "structlog", "snap7", "pymodbus", "serial", "uvloop"}
    assert not [name for name in imported if name.startswith("connmgr_")]
    if arguments[0] != "status":  # typer itself imports pydantic to understand a command's options
        assert not imported & {"pydantic", "pydantic_core"}


def test_no_arguments_is_a_question() -> None:
    """`connmgr` alone explains itself; a wrong command or option is 2, on standard error."""
    assert "demo" in connmgr().stdout + connmgr().stderr
    for wrong in (["nix"], ["run", "--nix"], ["status", "--watch"], ["status", "--watch", "--json"]):
        found = connmgr(*wrong)
        assert found.returncode == 2, wrong
        assert found.stdout == ""
        assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("connmgr st", {"status"}),
        ("connmgr plugins ", TYPES | {"new"}),
        ("connmgr simulate s", {"s7", "serial"}),
        ("connmgr why ", set()),
    ],
)
def test_completion(words: str, expected: set[str]) -> None:
    """The shell is told commands and types; without a daemon there are no ids, and no error."""
    found = connmgr(
        _CONNMGR_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), CONNMGR_SOCKET="/nix"
    )
    assert set(found.stdout.split()) == expected
    assert found.stderr == ""


# --- check and schema


def test_a_good_file(tmp_path: Path) -> None:
    """0, and one line."""
    file = tmp_path / "c.json"
    file.write_text(json.dumps(GOOD))
    found = connmgr("check", file)
    assert found.returncode == 0
    assert found.stdout == f"{file}: good, 1 connection, 1 enabled\n"
    assert found.stderr == ""


def test_a_bad_file(tmp_path: Path) -> None:
    """78, and every error with line, column, path and remedy, on standard error."""
    file = tmp_path / "c.json"
    file.write_text('{"connections": {\n "a": {"type": "tpc"},\n "b": {"type": "tcp", "config": {"port": 70000}}}}')
    found = connmgr("check", file)
    assert found.returncode == 78
    assert found.stdout == ""
    assert f"{file}:2:16 connections.a.type: no connection type 'tpc' is known; did you mean \"tcp\"?" in found.stderr
    assert f"{file}:3:" in found.stderr
    assert "70000" in found.stderr
    assert re.search(r"\d errors$", found.stderr.strip())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """78, with the name."""
    found = connmgr("check", tmp_path / "nix.json")
    assert found.returncode == 78
    assert "there is no such file" in found.stderr


def test_the_schema(tmp_path: Path) -> None:
    """One JSON document that knows every installed type, and one from a plugin folder."""
    folder = plugin(tmp_path / "plugins", "odd", "")
    found = connmgr("schema", "--plugins", folder)
    assert found.returncode == 0
    assert found.stderr == ""
    text = json.dumps(json.loads(found.stdout))
    assert all(f'"{name}"' in text for name in TYPES | {"odd"})


def test_a_plugin_folder_that_will_not_do(tmp_path: Path) -> None:
    """78, and why."""
    found = connmgr("check", "--plugins", tmp_path / "nix", ROOT / "config/connections.json")
    assert found.returncode == 78
    assert "cannot load plugins from" in found.stderr


# --- plugins


def test_installed_types() -> None:
    """`plugins --json`: every type with its origin, simulator and options."""
    found = connmgr("plugins", "--json")
    assert found.returncode == 0
    types = json.loads(found.stdout)["types"]
    assert set(types) >= TYPES
    for name in TYPES:
        one = types[name]
        assert set(one) == {"origin", "class", "description", "simulator", "unavailable", "options"}
        assert one["origin"] == f"connmgr {__version__}"
        assert one["simulator"] is True
        assert one["unavailable"] is None
        assert one["options"]
        for option in one["options"]:
            assert set(option) == {"key", "kind", "required", "default", "description"}
            assert option["description"], (name, option["key"])
    listed = set(re.findall(r"^(\S+)", connmgr("plugins").stdout, re.MULTILINE))
    assert listed >= TYPES


def test_one_type() -> None:
    """`plugins s7` shows key, kind, default and description; the same as JSON."""
    found = connmgr("plugins", "s7")
    assert found.returncode == 0
    assert re.search(r"port +whole number, 1 to 65535 +102 +TCP port", found.stdout)
    assert re.search(r"host +text +required", found.stdout)
    assert list(json.loads(connmgr("plugins", "s7", "--json").stdout)["types"]) == ["s7"]


def test_a_type_that_does_not_exist() -> None:
    """66, with those that do."""
    found = connmgr("plugins", "s8")
    assert found.returncode == 66
    assert found.stdout == ""
    assert "there are: http, modbus" in found.stderr


def test_a_broken_plugin_hurts_nobody_else(tmp_path: Path) -> None:
    """A plugin that cannot be imported is listed with the reason; `check` says so only if a connection needs it."""
    folder = plugin(tmp_path / "plugins", "fine", "")
    (folder / "broken.py").write_text("import nix_is_not_there\n")
    found = connmgr("plugins", "--plugins", folder)
    assert found.returncode == 0
    assert "nix_is_not_there" in found.stdout
    types = json.loads(connmgr("plugins", "--json", "--plugins", folder).stdout)["types"]
    assert "nix_is_not_there" in types["broken"]["unavailable"]
    assert types["fine"]["unavailable"] is None
    file = tmp_path / "c.json"
    file.write_text(json.dumps(GOOD))
    assert connmgr("check", "--plugins", folder, file).returncode == 0
    file.write_text(json.dumps({"connections": {"x": {"type": "broken"}}}))
    assert connmgr("check", "--plugins", folder, file).returncode == 78


# --- simulate


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("type_", sorted(TYPES))
def test_a_simulated_device(tmp_path: Path, type_: str, number: signal.Signals) -> None:
    """It prints where it is and the "config" of a connection to it; a signal ends it with 0, its path gone."""
    port = str(tmp_path / "tty") if type_ == "serial" else "0"
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*PROGRAM, "simulate", type_, "-p", port], stdout=file, stderr=file, env=environment()
        )
    try:
        until(lambda: '"config": ' in output.read_text(), f"{type_} runs")
        config = json.loads(output.read_text().partition('"config": ')[2])
        assert config
        if isinstance(config.get("port"), int):
            socket.create_connection((config["host"], config["port"]), 5).close()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert not os.path.lexists(tmp_path / "tty")
        assert "Traceback" not in output.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("port", ["99999", "abc", "-1"])
def test_a_port_that_is_none(port: str) -> None:
    """1, and what to change."""
    found = connmgr("simulate", "tcp", f"--port={port}")
    assert found.returncode == 1
    assert "choose another --port" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("type_", sorted(TYPES))
def test_a_port_that_is_taken(tmp_path: Path, type_: str) -> None:
    """1, and it says that it is taken."""
    (tmp_path / "tty").write_text("somebody's")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(tmp_path / "tty") if type_ == "serial" else str(taken.getsockname()[1])
        found = connmgr("simulate", type_, "-p", port)
    assert found.returncode == 1
    assert "taken" in found.stderr
    assert (tmp_path / "tty").read_text() == "somebody's"


def test_no_such_simulator() -> None:
    """66, with those that exist."""
    found = connmgr("simulate", "nix")
    assert found.returncode == 66
    assert "there are: http" in found.stderr
