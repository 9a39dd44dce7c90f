"""Whole configurations as people write them: `tests/cases/config/<name>/connections.json` with `error.txt` or `ok`."""

from pathlib import Path

import pytest

from tests.unit.config_types import problems

CASES = Path(__file__).parents[1] / "cases" / "config"


@pytest.mark.parametrize("case", sorted(case.name for case in CASES.iterdir()))
def test_a_whole_file(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `ok` file is read; for the others `error.txt` has every line that is said, in order."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/connmgr.service")
    folder = CASES / case
    told = problems((folder / "connections.json").read_bytes())
    expected = "" if (folder / "ok").exists() else (folder / "error.txt").read_text()
    assert "".join(f"{line}\n" for line in told).replace("f.json:", "connections.json:") == expected
