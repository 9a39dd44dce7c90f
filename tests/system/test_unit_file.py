"""The unit file is understood by systemd, hardened, and agrees with the program and its documents."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "connmgr.service"
DROP_INS = sorted((SYSTEMD / "drop-ins").glob("*.conf"))


def directives(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line and line[0] not in "#["]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)


def installed(folder: Path, *drop_ins: Path) -> Path:
    """The unit as it would be installed, except that its program exists on this machine."""
    unit = folder / "connmgr.service"
    unit.write_text(UNIT.read_text().replace("/opt/connmgr/bin/connmgr", "/bin/true"))
    for drop_in in drop_ins:
        (folder / "connmgr.service.d").mkdir(exist_ok=True)
        (folder / "connmgr.service.d" / drop_in.name).write_text(drop_in.read_text())
    return unit


@pytest.mark.needs("systemd-analyze")
def test_systemd_understands_it(tmp_path: Path) -> None:
    """systemd 252 knows every directive and every value: nothing is silently ignored."""
    result = analyze("verify", "--recursive-errors=no", "--man=no", str(installed(tmp_path)))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.needs("systemd-analyze")
def test_systemd_would_complain(tmp_path: Path) -> None:
    """The check above can fail: a misspelt directive is found."""
    unit = installed(tmp_path)
    unit.write_text(unit.read_text().replace("NoNewPrivileges", "NoNewPrivilege"))
    assert "NoNewPrivilege" in analyze("verify", "--recursive-errors=no", "--man=no", str(unit)).stderr


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("drop_in", [None, *DROP_INS], ids=lambda path: path.name if path else "as it is")
def test_exposure(tmp_path: Path, drop_in: Path | None) -> None:
    """systemd rates the sandbox at 1.5 of 10 or better, with and without each drop-in."""
    unit = installed(tmp_path)
    if drop_in:  # `security --offline` reads one file: later assignments are what a drop-in is
        unit.write_text(unit.read_text() + drop_in.read_text())
    result = analyze("security", "--offline=true", "--threshold=15", "--no-pager", str(unit))
    assert result.returncode == 0, result.stdout[-300:]


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.name)
def test_drop_ins_are_understood(tmp_path: Path, drop_in: Path) -> None:
    """Each drop-in parses; where its name says a newer systemd than this one, nothing but that is reported."""
    result = analyze("verify", "--recursive-errors=no", "--man=no", str(installed(tmp_path, drop_in)))
    needs = re.search(r"systemd-(\d+)", drop_in.name)
    version = int(analyze("--version").stdout.split()[1])
    if needs is None or version >= int(needs[1]):
        assert (result.returncode, result.stderr) == (0, "")
    else:
        assert "connmgr.service.d" in result.stderr


def test_one_directive_is_said_once() -> None:
    """No directive is set twice, except those that systemd adds up."""
    names = [name for name, _ in directives(UNIT.read_text())]
    assert {name for name in names if names.count(name) > 1} <= {"DeviceAllow", "SystemCallFilter"}


def test_bad_configuration_is_not_restarted() -> None:
    """Exit status 78 ends the unit; every other end is restarted, for ever."""
    unit = directives(UNIT.read_text())
    assert ("RestartPreventExitStatus", "78") in unit
    assert ("Restart", "always") in unit
    assert ("StartLimitIntervalSec", "0") in unit


def test_drop_ins_are_documented() -> None:
    """README.md names every drop-in."""
    readme = (SYSTEMD / "README.md").read_text()
    assert [path.name for path in DROP_INS if f"drop-ins/{path.name}" not in readme] == []
