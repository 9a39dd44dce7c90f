"""The configuration: what belongs together, and what is said of what does not."""

from typing import Any

import pytest
from pydantic import ValidationError

from connmgr_serial.options import SerialOptions

PORT = {"port": "/dev/ttyUSB0"}


def test_the_seed_configuration() -> None:
    """A port and a speed are enough."""
    options = SerialOptions.model_validate({"port": "/dev/ttyUSB0", "baudrate": 9600})
    assert (options.bytesize, options.parity, options.stopbits) == (8, "N", 1)
    assert options.longest_answer == options.timeout == 5.0
    assert options.health_check is None


@pytest.mark.parametrize(
    ("config", "place", "said"),
    [
        ({}, ("port",), "Field required"),
        ({"port": "COM3"}, ("port",), "should match pattern"),
        ({"port": 5000}, ("port",), "valid string"),
        (PORT | {"baudrate": 0}, ("baudrate",), "greater than or equal to 50"),
        (PORT | {"baudrate": "9600"}, ("baudrate",), "valid integer"),
        (PORT | {"parity": "even"}, ("parity",), "'N', 'E', 'O', 'M' or 'S'"),
        (PORT | {"bytesize": 9}, ("bytesize",), "5, 6, 7 or 8"),
        (PORT | {"framing": "length"}, (), '"length" is needed'),
        (PORT | {"length": 5}, (), '"length" is needed'),
        (PORT | {"framing": "length", "length": 100, "max_line": 99}, (), "more than max_line"),
        (PORT | {"rs485": {}, "rtscts": True}, (), "both want the line RTS"),
        (PORT | {"rs485": {"delay_before_tx": 2}}, ("rs485", "delay_before_tx"), "less than or equal to 1"),
        (PORT | {"terminator": ""}, ("terminator",), "at least 1 character"),
        (PORT | {"health_check": {"send": "PING\n"}}, ("health_check",), 'either "expect"'),
        (PORT | {"health_check": {"send": "a", "send_hex": "61", "expect": "b"}}, ("health_check",), 'either "send"'),
        (PORT | {"health_check": {"send_hex": "6", "expect": "b"}}, ("health_check", "send_hex"), "match pattern"),
        (PORT | {"host": "10.0.0.4"}, ("host",), "not permitted"),
    ],
)
def test_what_does_not_belong_together(config: dict[str, Any], place: tuple[str, ...], said: str) -> None:
    """An error stands at the key it is about."""
    with pytest.raises(ValidationError) as refused:
        SerialOptions.model_validate(config)
    (error,) = refused.value.errors()
    assert error["loc"] == place
    assert said in error["msg"]
