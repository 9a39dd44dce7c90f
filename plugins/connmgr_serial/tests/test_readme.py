"""What the README shows is true."""

import asyncio
import json
import re
import sys
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import to_json

import connmgr_serial
from connmgr_serial.options import HealthCheck, Rs485, SerialOptions
from connmgr_serial.simulator import SerialSimulator

README = (Path(connmgr_serial.__file__).parent / "README.md").read_text(encoding="utf-8")


def table(model: type[BaseModel]) -> str:
    """The options as the README shows them."""
    rows = [
        f"| `{name}` | {'required' if field.is_required() else f'`{to_json(field.default).decode()}`'} "
        f"| {field.description} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_tables_match_the_models() -> None:
    """Every option stands there with its default and its description."""
    assert table(SerialOptions) in README
    assert table(HealthCheck) in README
    assert table(Rs485) in README


def test_the_configurations_are_valid() -> None:
    """Each of them is accepted by the options."""
    for entry in json.loads(block("json"))["connections"].values():
        SerialOptions.model_validate(entry["config"])


async def test_the_example_runs(tmp_path: Path) -> None:
    """With its own configuration, except that the simulator's port is at any free path."""
    async with SerialSimulator(port=0) as device:
        document = json.loads(block("json"))
        document["connections"]["thermometer"]["config"]["port"] = device.port
        (tmp_path / "connections.json").write_text(json.dumps(document), encoding="utf-8")
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", block("python")),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await program.communicate()
    assert program.returncode == 0, err.decode()
    text = out.decode()
    assert re.search(r"temperature: 2\d\.\d °C", text)
    assert "b'one' b'two'" in text
