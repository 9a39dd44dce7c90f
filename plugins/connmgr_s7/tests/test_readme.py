"""The README's example is run as it stands."""

import asyncio
import json
import re
import sys
from pathlib import Path

import connmgr_s7
from connmgr_s7.simulator import S7Simulator

README = (Path(connmgr_s7.__file__).parent / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


async def test_the_example_runs(plc: S7Simulator, tmp_path: Path) -> None:
    """With its own configuration, except that the simulator's port is any free one."""
    document = json.loads(block("json"))
    document["connections"]["press_plc"]["config"]["port"] = plc.port
    (tmp_path / "connections.json").write_text(json.dumps(document), encoding="utf-8")
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-c",
        block("python"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await program.communicate()
    assert program.returncode == 0, err.decode()
    text = out.decode()
    assert re.search(r"counter \d+, 2\d\.\d °C, [34]\.\d\d bar", text)
    assert "setpoint and bit: 04 b0 00 00 08" in text
    assert "once more: 12 bytes" in text
    assert plc.peek(2, 0, 5) == b"\x04\xb0\0\0\x08"
