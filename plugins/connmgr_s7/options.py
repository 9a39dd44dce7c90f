"""What stands in "config" of an S7 connection."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connmgr import Host, Port, Seconds
from connmgr_s7.addresses import DB_LIMIT, check_range

WholeNumber = Annotated[int, Field(strict=True)]


class HealthCheckArea(BaseModel):
    """A piece of a data block that must be readable for the link to count as healthy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    db: WholeNumber = Field(ge=1, le=DB_LIMIT, description="Number of the data block.")
    start: WholeNumber = Field(default=0, ge=0, description="First byte.")
    size: WholeNumber = Field(default=1, ge=1, le=200, description="How many bytes; one request carries them all.")

    @model_validator(mode="after")
    def _within_reach(self) -> "HealthCheckArea":
        check_range(self.start, self.size)
        return self


class S7Options(BaseModel):
    """Configuration of one S7 connection."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Host = Field(description="Name or address of the PLC.")
    port: Port = Field(default=102, description="TCP port; 102 on every real PLC.")
    rack: WholeNumber = Field(default=0, ge=0, le=7, description="Rack of the CPU; 0 but for some S7-400.")
    slot: WholeNumber = Field(
        default=1,
        ge=0,
        le=31,
        description="Slot of the CPU: 1 for S7-1200 and S7-1500, 2 for S7-300, as configured for S7-400.",
    )
    pdu: Literal[240, 480, 960] = Field(
        default=480, description="Bytes of one telegram to ask for; the PLC may grant less. Longer requests are split."
    )
    timeout: Seconds = Field(default=3.0, description="Seconds the PLC may take for one answer.")
    connection_type: Literal["pg", "op", "basic"] = Field(
        default="pg", description="Which of the PLC's connection resources to use: programming device, panel, or other."
    )
    health_check: HealthCheckArea | None = Field(
        default=None,
        description="Bytes that a health check must be able to read. Without it, any answer to reading MB0 counts.",
    )
