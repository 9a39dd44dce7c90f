"""What an answer means."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from connmgr import AuthError, RefusedError, RetryAfter, TransientError

if TYPE_CHECKING:
    from aiohttp import ClientResponse

CHARSETS = re.compile(
    r"(?:us-?)?ascii|utf-?(?:8|8-sig|16|16le|16be|16-le|16-be)|latin-?1|iso-?8859-?[0-9]{1,2}|(?:windows-|cp)[0-9]{3,4}"
    r"|koi8-[ru]|gbk|gb2312|gb18030|big5|shift[_-]jis|euc-(?:jp|kr)|iso-2022-jp",
    re.ASCII | re.IGNORECASE,
)
"""What a device may name: others of Python's codecs take half a minute for a megabyte, and Python keeps every name that
it does not know."""

SHORTEST_PAUSE = 1.0  # seconds: "Retry-After: 0" must not make us hammer


class HttpStatusError(RefusedError):
    """The device answered a request with a status that is no success.

    Attributes:
        status: the status code.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer. `body` is None when it was longer than allowed."""

    status: int
    headers: Mapping[str, str]
    charset: str
    body: bytes | None

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 200 to 299."""
        return 200 <= self.status <= 299


async def read(response: "ClientResponse", limit: int) -> Answer:
    """Take the answer in, `limit` bytes of body at most. The rest of a longer one is never received."""
    status, headers, charset = response.status, response.headers, response.charset or "utf-8"
    if (response.content_length or 0) > limit:
        return Answer(status, headers, charset, None)
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            return Answer(status, headers, charset, None)
    return Answer(status, headers, charset, bytes(body))


def check_health(what: str, path: str, answer: Answer, expected: int) -> None:
    """Return if the device is well.

    Args:
        what: the attempt, such as "connect http://10.0.0.4".

    Raises:
        AuthError, RetryAfter, TransientError: what it is instead.
    """
    status = answer.status
    if status == expected:
        return
    said = f"cannot {what}: GET {path} answered {status}"
    if status in (401, 403):
        raise AuthError(f"{said}; check api_key, key_header and key_prefix")
    if status in (429, 503) and (pause := retry_after(answer.headers.get("Retry-After", ""))) is not None:
        raise RetryAfter(pause, f"{said} and asks for a pause of {pause:g} s")
    raise TransientError(f"{said}, expected {expected}{_remedy(status)}")


def check_success(what: str, answer: Answer, limit: int) -> bytes:
    """The body of an answer that is a success.

    Raises:
        HttpStatusError: the status is none.
        RefusedError: the body is too long, or compressed.
    """
    if not answer.is_success:
        raise HttpStatusError(f"cannot {what}: answered {answer.status}{_remedy(answer.status)}", answer.status)
    coding = answer.headers.get("Content-Encoding", "identity").lower()
    if coding != "identity":
        raise RefusedError(f"cannot {what}: the answer is compressed, though we had asked for it as it is")
    if answer.body is None:
        raise RefusedError(f"cannot {what}: the answer is longer than max_response_bytes ({limit})")
    return answer.body


def parsed(what: str, body: bytes) -> Any:  # noqa: ANN401 - JSON is what the device makes it
    """The JSON value of `body`; None when it is empty.

    Raises:
        RefusedError: it is no JSON.
    """
    try:
        return json.loads(body, parse_constant=_no_number, parse_float=_finite) if body.strip() else None
    except (ValueError, RecursionError):
        raise RefusedError(
            f"cannot {what}: the answer is no JSON ({len(body)} bytes); get_text() takes any text"
        ) from None


def _no_number(literal: str) -> float:
    raise ValueError(literal)  # NaN and Infinity are none in JSON, and poison every calculation that they get into


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(literal)
    return number


def text(what: str, body: bytes, charset: str) -> str:
    """The text of `body`.

    Raises:
        RefusedError: it is none in the character set that the device names.
    """
    try:
        if CHARSETS.fullmatch(charset):
            return body.decode(charset)
    except (LookupError, UnicodeError):
        pass
    raise RefusedError(f"cannot {what}: the answer is no text in the character set it names")


def retry_after(value: str) -> float | None:
    """Seconds that a Retry-After header asks for, at least `SHORTEST_PAUSE`; None for one that says nothing."""
    if re.fullmatch(r" *[0-9]{1,9} *", value):
        return max(float(value), SHORTEST_PAUSE)
    try:
        until = parsedate_to_datetime(value)
        pause = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(pause, SHORTEST_PAUSE)


def _remedy(status: int) -> str:
    if 300 <= status <= 399:
        return "; redirects are not followed: put the final address into base_url"
    return ""
