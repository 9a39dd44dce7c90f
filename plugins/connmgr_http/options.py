"""What stands in "config" for a connection of type `http`."""

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    field_validator,
    model_validator,
)

from connmgr import Host, Seconds
from connmgr_http.address import checked_base, joined

_HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"  # what RFC 9110 allows as a header's name
_HOST: TypeAdapter[str] = TypeAdapter(Host)


def _checked_url(url: str) -> str:
    base = checked_base(url)
    _HOST.validate_python(urlsplit(base).hostname)
    return base


def _checked_path(path: str) -> str:
    joined("", path)
    return path


class HttpOptions(BaseModel):
    """Where the device is, and how it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: Annotated[str, AfterValidator(_checked_url)] = Field(
        description="Address that every endpoint is appended to, such as http://192.168.1.20:8080/api."
    )
    api_key: SecretStr | None = Field(
        None, description="Key that is sent with every request; write a secret reference."
    )
    key_header: str = Field("X-API-Key", pattern=_HEADER_NAME, description="Header that carries the key.")
    key_prefix: str = Field(
        "", pattern=r"^[!-~ ]*$", description='Put before the key; "Bearer " with the header "Authorization".'
    )
    health_path: Annotated[str, AfterValidator(_checked_path)] = Field(
        "/health", description="Endpoint under base_url that is asked by GET while connecting and for health checks."
    )
    expect_status: int = Field(
        200, ge=200, le=599, strict=True, description="Status by which a healthy device answers there."
    )
    timeout: Seconds = Field(5.0, description="Seconds for one request, from opening the socket to the last byte.")
    max_response_bytes: int = Field(
        1_048_576,
        ge=1,
        le=1_073_741_824,
        strict=True,
        description="Longest answer; a longer one is cut off and refused.",
    )
    max_connections: int = Field(
        8, ge=1, le=1000, strict=True, description="Requests at once; more wait. Health checks have one of their own."
    )
    verify_tls: bool = Field(True, strict=True, description="Check the device's certificate (https).")
    ca_file: Path | None = Field(None, description="PEM file with the authority that signed it, for a private one.")

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not re.fullmatch(r"[!-~]([ -~]*[!-~])?", key.get_secret_value()):
            raise ValueError("a key is ASCII text without line ends, and without spaces around it")
        return key

    @model_validator(mode="after")
    def _tls_makes_sense(self) -> Self:
        if self.ca_file is not None and not self.base_url.startswith("https:"):
            raise ValueError("ca_file without an https base_url checks nothing: use https, or leave it out")
        if self.ca_file is not None and not self.verify_tls:
            raise ValueError("ca_file is of no use while verify_tls is false: leave one of them out")
        return self
