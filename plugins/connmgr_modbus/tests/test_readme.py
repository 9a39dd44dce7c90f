"""What the README shows is true."""

import asyncio
import json
import re
import sys
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import to_json

import connmgr_modbus
from connmgr_modbus.options import HealthCheck, ModbusOptions
from connmgr_modbus.simulator import ModbusSimulator

README = (Path(connmgr_modbus.__file__).parent / "README.md").read_text(encoding="utf-8")


def table(model: type[BaseModel]) -> str:
    """The options as the README shows them."""
    rows = [
        f"| `{name}` | `{to_json(field.default).decode()}` | {field.description} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_tables_match_the_models() -> None:
    """Every option stands there with its default and its description."""
    assert table(ModbusOptions) in README
    assert table(HealthCheck) in README


def test_the_configurations_are_valid() -> None:
    """There is one for each transport."""
    entries = json.loads(block("json"))["connections"].values()
    assert {ModbusOptions.model_validate(entry["config"]).transport for entry in entries} == {
        "tcp",
        "rtu",
        "rtu_over_tcp",
    }


async def test_the_example_runs(tmp_path: Path) -> None:
    """With its own configuration, except that the simulator's port is any free one."""
    async with ModbusSimulator(port=0) as device:
        document = json.loads(block("json"))
        document["connections"]["meter"]["config"]["port"] = device.port
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
    assert re.search(r"counter \d+, 2\d\.\d °C, [34]\.\d\d bar", text)
    assert "setpoints: [1200, 1500] coil 3: [True]" in text
    assert re.search(r"unit 2: 3\d\.\d °C", text)
