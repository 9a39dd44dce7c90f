"""What stands in "config" for a connection of type `tcp`."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connmgr import Host, Port, Seconds

Text = Annotated[str, Field(min_length=1, max_length=1024)]
Hex = Annotated[str, Field(pattern=r"^([0-9a-fA-F]{2} ?)+$", max_length=4096)]


class HealthCheck(BaseModel):
    """A question that changes nothing in the device, and what its answer has in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    send: Text | None = Field(None, description="The question as text, sent in UTF-8 with its line end.")
    send_hex: Hex | None = Field(None, description='The question as bytes, such as "05" or "02 52 03".')
    expect: Text | None = Field(None, description="Text that one line of the answer contains.")
    expect_hex: Hex | None = Field(None, description="Bytes that the answer contains, in lines or not.")

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


class TcpOptions(BaseModel):
    """Where the device is, and how it speaks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Host = Field(description="Name or address of the device.")
    port: Port = Field(description="TCP port.")
    timeout: Seconds = Field(5.0, description="Seconds to open the link, and seconds an answer may take.")
    health_check: HealthCheck | None = Field(
        None, description="Question and expected answer; without it the device is never sent anything unasked."
    )
    terminator: Text = Field("\n", description="What ends a line of the device.")
    max_line: int = Field(
        65_536, ge=1, le=16_777_216, strict=True, description="Longest answer, and most unread bytes kept, in bytes."
    )
    keepalive: bool = Field(
        True, strict=True, description="Let the operating system notice a dead peer, within 60 seconds; sends no data."
    )

    @model_validator(mode="after")
    def _answer_is_one_line(self) -> Self:
        expect = self.health_check.expect if self.health_check is not None else None
        if expect is not None and self.terminator in expect.removesuffix(self.terminator):
            raise ValueError('health_check: "expect" is more than one line; write a part of one line')
        return self
