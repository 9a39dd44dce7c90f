"""Files and functions stay small enough to be read at once; the offenders are printed, longest first."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE_MAX, FUNCTION_MAX = 400, 60  # lines, docstrings and comments included

SOURCES = sorted(
    path
    for folder in ("connmgr", "plugins", "tests", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*.py")
    if not {"__pycache__", "node_modules"} & set(path.parts)
)


def long_files(paths: list[Path]) -> Iterator[tuple[int, str]]:
    for path in paths:
        lines = len(path.read_text().splitlines())
        if lines > FILE_MAX:
            yield lines, str(path)


def long_functions(paths: list[Path]) -> Iterator[tuple[int, str]]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_MAX:
                    yield lines, f"{path}:{node.lineno} {node.name}"


def report(found: Iterator[tuple[int, str]]) -> str:
    return "\n".join(f"{lines:5} {place.removeprefix(f'{ROOT}/')}" for lines, place in sorted(found, reverse=True))


def test_files() -> None:
    """No file is longer than 400 lines."""
    offenders = report(long_files(SOURCES))
    assert not offenders, f"files over {FILE_MAX} lines:\n{offenders}"


def test_functions() -> None:
    """No function is longer than 60 lines."""
    offenders = report(long_functions(SOURCES))
    assert not offenders, f"functions over {FUNCTION_MAX} lines:\n{offenders}"


@pytest.mark.parametrize(("lines", "found"), [(58, False), (59, False), (60, True)])
def test_it_counts(tmp_path: Path, lines: int, found: bool) -> None:
    """The measure is right to the line: a `def` and 59 lines pass, one more does not."""
    path = tmp_path / "long.py"
    path.write_text("async def f():\n" + "    pass\n" * lines + "\n" * (FILE_MAX - lines))
    assert bool(list(long_functions([path]))) is found
    assert list(long_files([path])) == [(401, str(path))]
