"""What the README shows is true."""

import json
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import to_json

from connmgr_http.options import HttpOptions

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def table(model: type[BaseModel]) -> str:
    """The options as the README shows them."""
    rows = [
        f"| `{name}` | {'required' if field.is_required() else f'`{to_json(field.default).decode()}`'} "
        f"| {field.description} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_tables_match_the_models() -> None:
    """Every option stands there with its default and its description."""
    assert table(HttpOptions) in README


def test_the_configurations_are_valid() -> None:
    """Each JSON example is a "connections" section that the options accept."""
    examples = [entry for block in blocks("json") for entry in json.loads(block).values()]
    assert len(examples) >= 2
    for entry in examples:
        assert entry["type"] == "http"
        secrets = {key: "from there" for key, value in entry["config"].items() if isinstance(value, dict)}
        HttpOptions.model_validate({**entry["config"], **secrets})


def test_the_program_runs() -> None:
    """It prints what the README says it prints."""
    (program,), (output,) = blocks("python"), blocks("text")
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})  # the program shown there
    assert printed.getvalue() == output
