"""How connections are supervised: the "settings" of `connections.json`, for the whole file and for one connection.

All durations are seconds. The descriptions end up in the schema and in the configuration reference.
"""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

SHORTEST: Final = 0.01
DAY: Final = 86_400


def _zero_or_sensible(value: float) -> float:
    if 0 < value < SHORTEST:
        raise PydanticCustomError("too_short", "neither 0 nor at least {shortest}", {"shortest": SHORTEST})
    return value


Interval = Annotated[float, Field(ge=SHORTEST, le=DAY)]
IntervalOrZero = Annotated[float, Field(ge=0, le=DAY), AfterValidator(_zero_or_sensible)]
Rate = Annotated[float, Field(ge=SHORTEST, le=100_000)]
Burst = Annotated[int, Field(ge=1, le=100_000)]


class SupervisionSettings(BaseModel):
    """The supervision of one connection. Numbers are numbers: neither `true` nor `"5"` passes for one."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, validate_default=True
    )

    auto_reconnect: bool = Field(True, description="Whether a lost connection is brought back without being asked.")
    health_check_interval: Interval = Field(
        30, description="Seconds between two health checks; one is skipped when other traffic has just proved the link."
    )
    health_check_timeout: Interval = Field(5, description="Seconds a health check may take before it counts as failed.")
    health_check_failures: int = Field(
        1, ge=1, le=1000, description="Consecutive failed health checks after which the link counts as lost."
    )
    connection_timeout: Interval = Field(10, description="Seconds an attempt to connect may take.")
    disconnect_timeout: Interval = Field(5, description="Seconds a disconnect may take before it is abandoned.")
    reconnect_delay_initial: Interval = Field(5.0, description="Seconds before the first attempt to reconnect.")
    reconnect_delay_multiplier: float = Field(
        1.5, ge=1, le=1_000_000, description="Factor by which the pause grows with every failed attempt."
    )
    reconnect_delay_max: Interval = Field(60.0, description="Seconds the pause between two attempts never exceeds.")
    reconnect_jitter: float = Field(
        0.1, ge=0, lt=1, description="Share by which each pause is spread at random; 0 makes the schedule exact."
    )
    reconnect_max_attempts: int = Field(
        10, ge=0, le=1_000_000, description="Failed attempts in a row after which a connection is suspended; 0 = never."
    )
    stable_after: float = Field(
        30, ge=0, le=DAY, description="Seconds a link has to stay up before its failed attempts are forgotten."
    )
    suspended_probe_interval: IntervalOrZero = Field(
        300, description="Seconds between two probes of a suspended connection; 0 = only when somebody resumes it."
    )

    @model_validator(mode="after")
    def _the_longest_pause_is_not_the_shortest(self) -> Self:
        if self.reconnect_delay_max < self.reconnect_delay_initial:
            raise PydanticCustomError(
                "max_below_initial",
                "reconnect_delay_max ({max}) is below reconnect_delay_initial ({initial})",
                {
                    "max": f"{self.reconnect_delay_max:g}",
                    "initial": f"{self.reconnect_delay_initial:g}",
                    "fields": ("reconnect_delay_max", "reconnect_delay_initial"),
                },
            )
        return self


class GlobalSettings(SupervisionSettings):
    """The file's own "settings": the default supervision of every connection, and the limits all of them share."""

    dial_rate: Rate = Field(10, description="Attempts to connect per second, all connections together.")
    dial_burst: Burst = Field(20, description="Attempts that may start at once before `dial_rate` applies.")
    host_dial_rate: Rate = Field(5, description="Attempts to connect per second to one host.")
    host_dial_burst: Burst = Field(10, description="Attempts to one host that may start at once.")

    def supervision(self) -> SupervisionSettings:
        """The part of it that a connection inherits."""
        return SupervisionSettings.model_construct(
            **{name: getattr(self, name) for name in SupervisionSettings.model_fields}
        )
