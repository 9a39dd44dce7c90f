"""What stands in "config" for a connection of type `modbus`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from connmgr import Host, Seconds

Transport = Literal["tcp", "rtu", "rtu_over_tcp"]
Kind = Literal["holding", "input", "coil", "discrete"]
Unit = Annotated[int, Field(strict=True, ge=0, le=255)]

SERIAL_ONLY = ("baudrate", "parity", "stopbits", "bytesize", "local_echo")


class HealthCheck(BaseModel):
    """One register or bit that is read to see whether the device lives. That it refuses proves life as well."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = Field("holding", description="Table that is read.")
    address: int = Field(0, strict=True, ge=0, le=65535, description="Address on the wire, from 0.")
    unit: Unit | None = Field(None, description="Unit that is asked; null asks the connection's own.")


class ModbusOptions(BaseModel):
    """How to reach the bus, and the unit to talk to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transport: Transport = Field(
        "tcp",
        description="tcp: Modbus TCP. rtu: RTU on a serial port. rtu_over_tcp: RTU frames through a TCP gateway.",
    )
    host: Host | None = Field(
        None, validate_default=True, description="Name or address; for tcp and rtu_over_tcp, where it is required."
    )
    port: int | str = Field(
        502,
        validate_default=True,
        description="TCP port, 1 to 65535; for rtu the path of the serial port, such as /dev/serial/by-id/usb-….",
        json_schema_extra={"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]},
    )
    baudrate: int = Field(9600, strict=True, ge=50, le=4_000_000, description="Bits per second (rtu).")
    parity: Literal["N", "E", "O"] = Field("N", description="None, even or odd (rtu).")
    stopbits: Literal[1, 2] = Field(1, description="Stop bits (rtu).")
    bytesize: Literal[7, 8] = Field(8, description="Data bits; RTU means 8 (rtu).")
    local_echo: bool = Field(
        False, strict=True, description="The adapter hears what it sends itself, and that is to be dropped (rtu)."
    )
    unit: Unit = Field(1, description="Unit id that is asked where a call names none; 0 is broadcast on RTU.")
    timeout: Seconds = Field(3.0, description="Seconds an answer may take.")
    silence: Seconds | None = Field(
        None,
        description="RTU: longest time the device may take to answer; after a request without a good answer nothing is "
        "asked for so long, so that a late answer is not taken for the next one. null means the same as timeout.",
    )
    health_check: HealthCheck = Field(
        HealthCheck(),
        validate_default=True,
        description="What is read to see whether the device lives.",
    )

    @property
    def is_rtu(self) -> bool:
        """Whether RTU frames are spoken, whose answers do not say which question they belong to."""
        return self.transport != "tcp"

    @property
    def longest_answer(self) -> float:
        """Seconds after which no answer to an old request can come any more."""
        return self.timeout if self.silence is None else self.silence

    @property
    def endpoint(self) -> str:
        """The other end, for people."""
        return str(self.port) if self.transport == "rtu" else f"{self.host}:{self.port}"

    @field_validator("host", mode="after")
    @classmethod
    def _host_where_it_belongs(cls, host: str | None, info: ValidationInfo) -> str | None:
        transport = info.data.get("transport")
        if transport == "rtu" and host is not None:
            raise _misplaced("a serial line has no host", 'write "port" alone, or "transport": "rtu_over_tcp"')
        if transport in ("tcp", "rtu_over_tcp") and host is None:
            raise PydanticKnownError("missing")
        return host

    @field_validator("port", mode="before")
    @classmethod
    def _port_of_the_transport(cls, port: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - as it stands in the file
        if info.data.get("transport") == "rtu":
            if not isinstance(port, str) or not port.startswith("/"):
                raise _misplaced("not the path of a serial port", "write it in full, such as /dev/ttyUSB0")
        elif type(port) is not int or not 1 <= port <= 65535:
            remedy = 'write a number from 1 to 65535; the path of a serial port needs "transport": "rtu"'
            raise _misplaced("not a TCP port", remedy)
        return port

    @field_validator(*SERIAL_ONLY, mode="after")
    @classmethod
    def _serial_settings_on_serial_lines(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - each field's own
        if info.data.get("transport", "rtu") != "rtu":
            remedy = 'delete it; the gateway has these settings, or write "transport": "rtu"'
            raise _misplaced("only a serial line has this", remedy)
        return value

    @field_validator("silence", mode="after")
    @classmethod
    def _silence_on_rtu(cls, silence: float | None, info: ValidationInfo) -> float | None:
        if silence is not None and info.data.get("transport") == "tcp":
            raise _misplaced("answers over Modbus TCP are numbered, nothing is waited out", "delete it")
        return silence

    @field_validator("health_check", mode="after")
    @classmethod
    def _somebody_answers(cls, check: HealthCheck, info: ValidationInfo) -> HealthCheck:
        unit = info.data.get("unit") if check.unit is None else check.unit
        if unit == 0 and info.data.get("transport") != "tcp":
            raise _misplaced("unit 0 is broadcast on RTU, nobody answers", 'name a "unit" that does')
        return check


def _misplaced(reason: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError("transport", "{reason}", {"reason": reason, "remedy": remedy})
