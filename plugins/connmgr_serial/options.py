"""What stands in "config" for a connection of type `serial`."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connmgr import Seconds

Text = Annotated[str, Field(min_length=1, max_length=1024)]
Hex = Annotated[str, Field(pattern=r"^([0-9a-fA-F]{2} ?)+$", max_length=4096)]
Pause = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Length = Annotated[int, Field(strict=True, ge=1, le=16_777_216)]


class HealthCheck(BaseModel):
    """A question that changes nothing in the device, and what its answer has in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    send: Text | None = Field(None, description="The question as text, sent in UTF-8 with its line end.")
    send_hex: Hex | None = Field(None, description='The question as bytes, such as "05" or "02 52 03".')
    expect: Text | None = Field(None, description="Text that one message of the device contains.")
    expect_hex: Hex | None = Field(None, description="Bytes that one message of the device contains.")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        for text, raw in (("send", "send_hex"), ("expect", "expect_hex")):
            if (getattr(self, text) is None) == (getattr(self, raw) is None):
                raise ValueError(f'write either "{text}" (text) or "{raw}" (bytes)')
        return self

    @property
    def question(self) -> bytes:
        """The bytes to send."""
        return self.send.encode() if self.send is not None else bytes.fromhex(self.send_hex or "")

    @property
    def answer(self) -> bytes:
        """The bytes to look for."""
        return self.expect.encode() if self.expect is not None else bytes.fromhex(self.expect_hex or "")


class Rs485(BaseModel):
    """RTS switches the direction of a half-duplex line. The driver of the port has to support it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rts_level_for_tx: bool = Field(True, strict=True, description="Level of RTS while sending.")
    rts_level_for_rx: bool = Field(False, strict=True, description="Level of RTS while listening.")
    loopback: bool = Field(False, strict=True, description="Whether the port hears what it sends.")
    delay_before_tx: Pause | None = Field(None, description="Seconds from switching to the first bit; null: none.")
    delay_before_rx: Pause | None = Field(None, description="Seconds from the last bit to switching; null: none.")


class SerialOptions(BaseModel):
    """Which port, how it is set, and where a message of the device ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: str = Field(
        pattern="^/",
        max_length=4096,
        description="Path of the port; one below /dev/serial/by-id stays the same wherever it is plugged in.",
    )
    baudrate: int = Field(9600, strict=True, ge=50, le=4_000_000, description="Bits per second.")
    bytesize: Literal[5, 6, 7, 8] = Field(8, description="Data bits.")
    parity: Literal["N", "E", "O", "M", "S"] = Field("N", description="None, even, odd, mark or space.")
    stopbits: Literal[1, 2] = Field(1, description="Stop bits.")
    xonxoff: bool = Field(False, strict=True, description="Flow control by the characters XON and XOFF.")
    rtscts: bool = Field(False, strict=True, description="Flow control by the lines RTS and CTS.")
    rs485: Rs485 | None = Field(None, description="Direction control by RTS; null: the adapter does it by itself.")
    timeout: Seconds = Field(5.0, description="Seconds an answer may take.")
    silence: Seconds | None = Field(
        None,
        description="Longest time the device may take to answer; after a question without an answer the reopened port "
        "throws away what comes for so long, so that a late answer is not taken for the next one. null means the same "
        "as timeout.",
    )
    framing: Literal["line", "length"] = Field(
        "line", description="Where a message ends: line: at terminator. length: after length bytes."
    )
    terminator: Text = Field("\n", description="What ends a line of the device.")
    length: Length | None = Field(None, description='Bytes in a message, for "framing": "length".')
    max_line: Length = Field(65_536, description="Longest message, and most unread bytes kept, in bytes.")
    discard_first_line: bool = Field(
        False,
        strict=True,
        description="Throw away the first line after opening; a device that talks unasked is cut short.",
    )
    health_check: HealthCheck | None = Field(
        None, description="Question and expected answer; without it the device is never sent anything unasked."
    )

    @model_validator(mode="after")
    def _length_where_it_belongs(self) -> Self:
        if (self.framing == "length") != (self.length is not None):
            raise ValueError('"length" is needed with "framing": "length", and only there')
        if self.length is not None and self.length > self.max_line:
            raise ValueError(f'"length" is more than max_line ({self.max_line})')
        if self.rs485 is not None and self.rtscts:
            raise ValueError("rs485 and rtscts both want the line RTS: leave one of them out")
        return self

    @property
    def longest_answer(self) -> float:
        """Seconds after which no answer to an old question can come any more."""
        return self.timeout if self.silence is None else self.silence
