"""The configuration: what belongs together, and what is said of what does not."""

from typing import Any

import pytest
from pydantic import ValidationError

from connmgr_modbus.options import ModbusOptions

TCP = {"host": "10.0.0.4"}
RTU = {"transport": "rtu", "port": "/dev/ttyUSB0"}
GATEWAY = {"transport": "rtu_over_tcp", "host": "10.0.0.4", "port": 4001}


@pytest.mark.parametrize("config", [TCP, RTU, GATEWAY])
def test_the_least_that_is_needed(config: dict[str, Any]) -> None:
    """Each transport works with its endpoint alone."""
    options = ModbusOptions.model_validate(config)
    assert options.unit == 1
    assert options.longest_answer == options.timeout == 3.0
    assert options.endpoint == {"tcp": "10.0.0.4:502", "rtu": "/dev/ttyUSB0"}.get(options.transport, "10.0.0.4:4001")


@pytest.mark.parametrize(
    ("config", "place", "said"),
    [
        ({}, ("host",), "Field required"),
        ({"transport": "rtu_over_tcp", "port": 4001}, ("host",), "Field required"),
        (TCP | {"port": "/dev/ttyUSB0"}, ("port",), "not a TCP port"),
        (TCP | {"port": 70000}, ("port",), "not a TCP port"),
        (TCP | {"port": True}, ("port",), "not a TCP port"),
        ({"transport": "rtu"}, ("port",), "not the path of a serial port"),
        (RTU | {"port": "COM3"}, ("port",), "not the path of a serial port"),
        (RTU | {"host": "10.0.0.4"}, ("host",), "a serial line has no host"),
        (TCP | {"baudrate": 9600}, ("baudrate",), "only a serial line has this"),
        (GATEWAY | {"parity": "E"}, ("parity",), "only a serial line has this"),
        (TCP | {"silence": 1.0}, ("silence",), "answers over Modbus TCP are numbered"),
        (RTU | {"unit": 0}, ("health_check",), "unit 0 is broadcast"),
        (RTU | {"health_check": {"unit": 0}}, ("health_check",), "unit 0 is broadcast"),
        (TCP | {"unit": 256}, ("unit",), "less than or equal to 255"),
        (TCP | {"health_check": {"kind": "register"}}, ("health_check", "kind"), "should be 'holding'"),
        (TCP | {"timeout": 0}, ("timeout",), "greater than 0"),
        (TCP | {"host": "10.0.0.4:502"}, ("host",), "a host and a port in one"),
        (TCP | {"slave": 1}, ("slave",), "not permitted"),
    ],
)
def test_what_does_not_belong_together(config: dict[str, Any], place: tuple[str, ...], said: str) -> None:
    """An error stands at the key it is about."""
    with pytest.raises(ValidationError) as refused:
        ModbusOptions.model_validate(config)
    (error,) = refused.value.errors()
    assert error["loc"] == place
    assert said in error["msg"]


def test_unit_0_on_tcp() -> None:
    """Over Modbus TCP unit 0 is the device itself."""
    assert ModbusOptions.model_validate(TCP | {"unit": 0}).unit == 0


def test_all_errors_at_once() -> None:
    """Whoever copies a serial configuration to TCP is told of every key."""
    with pytest.raises(ValidationError) as refused:
        ModbusOptions.model_validate(RTU | {"transport": "tcp", "baudrate": 9600, "parity": "E", "silence": 1.0})
    assert {error["loc"] for error in refused.value.errors()} == {
        ("host",),
        ("port",),
        ("baudrate",),
        ("parity",),
        ("silence",),
    }
