"""What may stand in "config", and which addresses can be asked for."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import connmgr_s7
from connmgr_s7 import S7Connection
from connmgr_s7.addresses import named
from connmgr_s7.options import HealthCheckArea, S7Options

README = Path(connmgr_s7.__file__).parent / "README.md"


def test_a_host_is_enough() -> None:
    """All else has the defaults of a present-day CPU."""
    options = S7Options.model_validate({"host": "10.0.0.4"})
    assert (options.port, options.rack, options.slot, options.pdu) == (102, 0, 1, 480)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rack": 8},
        {"rack": -1},
        {"slot": 32},
        {"slot": True},
        {"pdu": 500},
        {"port": 0},
        {"timeout": 0},
        {"connection_type": "PG"},
        {"health_check": {"db": 0}},
        {"health_check": {"start": 0}},
        {"health_check": {"db": 1, "start": 65_500, "size": 100}},
        {"ip": "10.0.0.4"},
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_dialled(wrong: dict[str, Any]) -> None:
    """Out of range, of another type, or unknown."""
    with pytest.raises(ValidationError):
        S7Options.model_validate({"host": "10.0.0.4", **wrong})


@pytest.mark.parametrize(
    ("db", "start", "size", "part"),
    [
        (0, 0, 1, "1 to 65535"),
        (65_536, 0, 1, "1 to 65535"),
        (True, 0, 1, "1 to 65535"),
        (1, -1, 1, "the first byte is 0"),
        (1, 0, 0, "1 to 65535"),
        (1, 0, 65_536, "1 to 65535"),
        (1, 65_535, 2, "byte 65536"),
        (1, 0.5, 1, "the first byte is 0"),
    ],
)
async def test_impossible_addresses_never_reach_the_plc(db: Any, start: Any, size: Any, part: str) -> None:
    """They raise ValueError, also when there is no connection to ask."""
    connection = S7Connection("plc", {"host": "127.0.0.1"}, None)
    with pytest.raises(ValueError, match=part):
        await connection.read_db(db, start, size)
    with pytest.raises(ValueError, match="cannot"):
        await connection.retrying().read_db(db, start, size)


@pytest.mark.parametrize("bit", [-1, 8, 0.5, None, True])
async def test_a_byte_has_bits_0_to_7(bit: Any) -> None:
    """Seed 000's range check."""
    connection = S7Connection("plc", {"host": "127.0.0.1"}, None)
    with pytest.raises(ValueError, match="bits 0 to 7"):
        await connection.read_modify_write_byte_bit(1, 0, bit, value=True)


async def test_only_inputs_outputs_and_flags_are_areas() -> None:
    """Data blocks have methods of their own, with their own check."""
    connection = S7Connection("plc", {"host": "127.0.0.1"}, None)
    for area in ("DB", "X", "m", None):
        with pytest.raises(ValueError, match="choose I"):
            await connection.read_area(area, 0, 1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="choose I"):
            await connection.write_area(area, 0, b"x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 bytes"):
        await connection.write_db(1, 0, b"")


def test_addresses_read_as_people_write_them() -> None:
    """They stand in messages."""
    assert named("DB", 1, 0, 12) == "DB1.DBB0..11"
    assert named("DB", 7, 3, 1) == "DB7.DBB3"
    assert named("M", 0, 4, 2) == "MB4..5"


def test_the_readme_lists_every_option_with_its_default() -> None:
    """The table in README.md says what the model says, in the model's order."""
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in README.read_text(encoding="utf-8").partition("\n## Use\n")[0].splitlines()
        if line.startswith("| `")
    ]
    told = {row[0]: (row[1], row[2]) for row in rows}
    known: dict[str, tuple[str, str]] = {}
    for prefix, model in (("", S7Options), ("health_check.", HealthCheckArea)):
        for name, field in model.model_fields.items():
            default = "required" if field.is_required() else "none" if field.default is None else str(field.default)
            known[prefix + name] = (default, field.description or "")
    assert told == known
    assert list(told) == list(known)
