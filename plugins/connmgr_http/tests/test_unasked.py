"""Answers that nobody asked for, answers that never end, and answers that are a trap."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from connmgr import RefusedError, TransientError
from connmgr_http.answers import parsed, text
from connmgr_http.tests.conftest import Api
from connmgr_http.tests.raw_server import RawServer, page

Dial = Callable[[dict[str, Any]], Awaitable[Api]]

STALE, FRESH = page(b'{"value": "stale"}'), page(b'{"value": "fresh"}')


async def test_a_second_answer_does_not_answer_the_next_question(dial: Dial) -> None:
    """What comes on a socket that waits for its next question closes it, and the question gets a socket of its own."""
    async with RawServer(FRESH) as server:
        api = await dial(server.config())
        server.push(STALE)
        await asyncio.sleep(0.05)
        assert await api.get("value") == {"value": "fresh"}
        server.answer = FRESH + STALE
        for _ in range(3):
            assert await api.put("value", {"on": True}) == {"value": "fresh"}
            await asyncio.sleep(0.02)


async def test_answers_without_end_are_not_kept(dial: Dial) -> None:
    """A device that goes on answering is cut off after the answer, at once."""
    async with RawServer(FRESH) as server:
        api = await dial(server.config())
        server.push(STALE)
        async with asyncio.timeout(2):
            while not server.is_cut_off():
                server.push(STALE * 100)
                await asyncio.sleep(0.001)
        assert await api.get("value") == {"value": "fresh"}


async def test_an_answer_that_always_continues(dial: Dial) -> None:
    """Interim answers without end break the request, long before its deadline, and hold up nobody."""
    async with RawServer(b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000) as server:
        api = await dial(server.config())
        began = time.monotonic()
        with pytest.raises(TransientError, match="again and again"):
            await api.get("value")
        assert time.monotonic() - began < 0.5


async def test_a_few_interim_answers_do_no_harm(dial: Dial) -> None:
    """`100 Continue` and the like before the answer are passed over, and a large answer is whole."""
    body = b'"' + b"x" * 300_000 + b'"'
    async with RawServer(b"HTTP/1.1 102 Processing\r\n\r\n" * 5 + page(body)) as server:
        api = await dial(server.config())
        assert await api.get("value") == "x" * 300_000
        assert await api.get("value") == "x" * 300_000


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "utf-7", "hex", "a\0b", "x" * 5_000])
def test_a_character_set_that_is_a_trap(charset: str) -> None:
    """Only character sets that devices use are believed: Python's punycode takes 25 s for a megabyte."""
    with pytest.raises(RefusedError, match="character set"):
        text("GET /", b"a" * 1_000, charset)


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "us-ascii", "ISO-8859-15", "windows-1252", "utf-16", "gb18030"])
def test_character_sets_in_use(charset: str) -> None:
    """The usual ones work, however they are written."""
    assert text("GET /", "abc".encode(charset), charset) == "abc"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_are_none(number: str) -> None:
    """JSON has no NaN and no infinity: such an answer is refused, not handed on as a value."""
    with pytest.raises(RefusedError, match="no JSON"):
        parsed("GET /", f'{{"value": [{number}]}}'.encode())
