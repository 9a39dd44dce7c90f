"""Connection types for the tests of `connections.json`."""

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from connmgr.config import Config, ConfigProblems, TypeInfo, load, parse
from connmgr.fields import Host, Port, Seconds
from connmgr.secrets import Redactor


class Options(BaseModel):
    """What options of plugins share."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HealthCheck(Options):
    """A question and its answer."""

    send: str = Field(description="The question.")
    expect: str = Field(min_length=1, description="The answer.")


class TcpOptions(Options):
    """Everything an options model of a plugin usually has."""

    host: Host = Field(description="Name or address of the device.")
    port: Port = Field(5000, description="TCP port.")
    timeout: Seconds = Field(5.0, description="Seconds an answer may take.")
    rack: int = Field(0, ge=0, le=7, description="Rack of the CPU.")
    parity: Literal["none", "even"] = Field("none", description="Parity.")
    password: str | None = Field(None, max_length=12, description="Password.")
    pin: SecretStr | None = Field(None, description="Number of the lock.")
    health_check: HealthCheck | None = Field(None, description="Question and answer.")
    units: list[int] = Field([], description="Unit ids.")


class Lines(Options):
    """One way to cut a stream."""

    by: Literal["line"]
    end: str = Field("\n", description="End of a line.")


class Lengths(Options):
    """Another way."""

    by: Literal["length"]
    size: int = Field(ge=1, description="Bytes of a message.")


class FramedOptions(Options):
    """A choice between models, named by one key."""

    framing: Annotated[Lines | Lengths, Field(discriminator="by")]


def _leaky(value: str) -> str:
    raise ValueError(f"{value} is weak")


def _breaks(value: int) -> int:
    return math.factorial(value - 1) // 0


class BrokenOptions(Options):
    """Validators as careless authors write them."""

    password: Annotated[str, AfterValidator(_leaky)] = "x"
    number: Annotated[int, AfterValidator(_breaks)] = 1
    other: str = ""

    @model_validator(mode="after")
    def _tell_everything(self) -> "BrokenOptions":
        if self.other:
            raise ValueError(f"cannot combine {self.other}")
        return self


TYPES = {
    "tcp": TypeInfo(TcpOptions),
    "framed": TypeInfo(FramedOptions),
    "broken": TypeInfo(BrokenOptions),
    "custom_tcp": TypeInfo(None),
    "gone": TypeInfo(None, "No module named 'snap8'"),
}


def read(text: str | bytes, *, strict: bool = False, redactor: Redactor | None = None, file: str = "f.json") -> Config:
    """Parse with the types above and a redactor of its own."""
    return parse(text, file, TYPES.get, lambda: TYPES, strict=strict, redactor=redactor or Redactor())


def read_file(path: Path) -> Config:
    """Load with the types above and a redactor of its own."""
    return load(path, TYPES.get, lambda: TYPES, redactor=Redactor())


def problems(text: str | bytes, *, strict: bool = False, redactor: Redactor | None = None) -> list[str]:
    """All problems of a text, or none."""
    try:
        read(text, strict=strict, redactor=redactor)
    except ConfigProblems as error:
        return [str(problem) for problem in error.problems]
    return []


SEED = """{
  "connections": {
    "my_tcp_device": {
      "type": "custom_tcp",
      "name": "Mein TCP-Gerät",
      "enabled": true,
      "config": {
        "host": "192.168.1.100",
        "port": 5000,
        "timeout": 5.0,
        "auto_reconnect": true
      }
    }
  }
}"""


def one(section: str, entry: str = "", name: str = "a", kind: str = "tcp") -> str:
    """A file with one connection, its config and further keys."""
    return f'{{"connections": {{\n "{name}": {{"type": "{kind}", "config": {section}{entry}}}\n}}}}'


def with_settings(section: str) -> str:
    return f'{{"settings": {{\n{section}}}, "connections": {{}}}}'
