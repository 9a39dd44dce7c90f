"""The connection type `http`: requests to one HTTP API, with its health watched."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from connmgr import BaseConnection, NoAnswerError, NotConnectedError, PermanentError, TransientError
from connmgr_http.address import joined, path_of
from connmgr_http.answers import Answer, check_health, check_success, parsed, read, text
from connmgr_http.failures import never_twice, reason_of
from connmgr_http.options import HttpOptions
from connmgr_http.tls import shared_context

if TYPE_CHECKING:
    from aiohttp import ClientSession

CLOSING = 2.0  # seconds that open sockets get to close

Param = str | int | float | bool | None | list[str | int | float | bool]
"""A value of a query. True and False are sent as `true` and `false`, a list as several values, None not at all."""


class HttpConnection(BaseConnection[HttpOptions]):
    """A device or service with an HTTP API.

    Requests do not wait for each other, up to `max_connections`: each answer comes on the socket of its question, so
    that none can be taken for another's, and `exchange` is not needed. For the same reason a request that fails or is
    cancelled costs its own socket and nothing else; a device that nobody can reach any more is told as lost.

    HTTP knows no link that could break between two requests: how soon a loss is noticed is up to the health check.

    A GET is sent once more when its socket closes before the answer has begun, which happens to sockets that were kept
    open. Nothing else is ever sent twice.

    Redirects are not followed, cookies not kept, proxies of the environment not used, and answers taken uncompressed:
    a request reaches `base_url` and nothing else, and an answer is as long as it is.

    The request methods share their errors:

        NotConnectedError: the link is down; nothing was sent.
        NoAnswerError: no complete answer within `timeout`; whether the device acted on it is unknown.
        TransientError: other requests took all of `timeout`, or the socket broke.
        HttpStatusError: a status that is no success. It is a RefusedError: the link stays.
        RefusedError: the answer is too long, compressed, or not what it should be.
        ValueError: the endpoint is none, or `json` cannot be written as JSON; nothing was sent.
    """

    _session: "ClientSession | None" = None
    _slots: asyncio.Semaphore

    async def connect(self) -> bool:
        """Open a session and ask `health_path`; 401 and 403 suspend the connection."""
        import aiohttp

        from connmgr_http.sockets import Connector

        options, base = self.options, self.options.base_url
        headers = {"Accept-Encoding": "identity"}
        if options.api_key is not None:
            headers[options.key_header] = options.key_prefix + options.api_key.get_secret_value()
        tls = await asyncio.to_thread(self._tls) if base.startswith("https:") else False
        self._slots = asyncio.Semaphore(options.max_connections)
        self._session = aiohttp.ClientSession(
            connector=Connector(limit=options.max_connections + 1, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),  # ours counts, see _fetch
            auto_decompress=False,
            read_bufsize=65_536,
        )
        await self._check(f"connect {base}")
        return True

    async def disconnect(self) -> bool:
        session, self._session = self._session, None
        if session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await session.close()
        return True

    def is_connected(self) -> bool:
        return self._session is not None

    async def health_check(self) -> bool:
        await self._check(f"check {self.options.base_url}")
        return True

    # --- requests

    async def get(self, endpoint: str, /, **params: Param) -> Any:  # noqa: ANN401 - JSON is what the device makes it
        """GET `endpoint`, a path under `base_url`. Returns the JSON of the answer, or None if it is empty."""
        return await self._json("GET", endpoint, params)

    async def get_text(self, endpoint: str, /, **params: Param) -> str:
        """GET `endpoint`. Returns the answer as text."""
        what, answer, body = await self._success("GET", endpoint, params, None)
        return text(what, body, answer.charset)

    async def post(self, endpoint: str, /, json: Any = None, **params: Param) -> Any:  # noqa: ANN401 - as above
        """POST `json` (None: no body) to `endpoint`. Returns the JSON of the answer, or None if it is empty."""
        return await self._json("POST", endpoint, params, json)

    async def put(self, endpoint: str, /, json: Any = None, **params: Param) -> Any:  # noqa: ANN401 - as above
        """PUT `json` to `endpoint`. Returns the JSON of the answer, or None if it is empty."""
        return await self._json("PUT", endpoint, params, json)

    async def patch(self, endpoint: str, /, json: Any = None, **params: Param) -> Any:  # noqa: ANN401 - as above
        """PATCH `endpoint` with `json`. Returns the JSON of the answer, or None if it is empty."""
        return await self._json("PATCH", endpoint, params, json)

    async def delete(self, endpoint: str, /, **params: Param) -> Any:  # noqa: ANN401 - as above
        """DELETE `endpoint`. Returns the JSON of the answer, or None if it is empty."""
        return await self._json("DELETE", endpoint, params)

    # --- inside

    async def _check(self, what: str) -> None:
        options = self.options
        answer = await self._fetch(what, "GET", joined(options.base_url, options.health_path))
        self._count(answer, 0, is_good=answer.status == options.expect_status)
        check_health(what, path_of(options.health_path), answer, options.expect_status)

    async def _json(self, method: str, endpoint: str, params: Mapping[str, Param], json: object = None) -> Any:  # noqa: ANN401 - as above
        what, _, body = await self._success(method, endpoint, params, json)
        return parsed(what, body)

    async def _success(
        self, method: str, endpoint: str, params: Mapping[str, Param], value: object
    ) -> tuple[str, Answer, bytes]:
        options, url = self.options, joined(self.options.base_url, endpoint)
        what = f"{method} {options.base_url}{path_of(endpoint)}"
        body = None if value is None else json.dumps(value, allow_nan=False).encode()
        answer = await self._in_turn(what, method, url, _query(params), body)
        self._count(answer, len(body or b""), is_good=answer.is_success)
        return what, answer, check_success(what, answer, options.max_response_bytes)

    async def _in_turn(
        self, what: str, method: str, url: str, query: list[tuple[str, str]], body: bytes | None
    ) -> Answer:
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        self._live()
        slots = self._slots
        try:
            async with asyncio.timeout(self.options.timeout):
                await slots.acquire()
        except TimeoutError:
            raise TransientError(
                f"cannot {what}: {self.options.max_connections} other requests take too long, nothing was sent"
            ) from None
        try:
            left = began + self.options.timeout - loop.time()
            return await self._fetch(what, method, url, query=query, body=body, seconds=left)
        finally:
            slots.release()

    async def _fetch(
        self,
        what: str,
        method: str,
        url: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: bytes | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """One request and its answer. Every error says "cannot <what>: …" and nothing that was sent or received."""
        import aiohttp

        session, options = self._live(), self.options
        headers = {} if body is None else {"Content-Type": "application/json"}
        # aiohttp repeats GET, PUT and DELETE when a socket closes before the answer. A GET may be; what acts may not.
        repeat = None if method == "GET" else (never_twice,)
        try:
            async with (
                asyncio.timeout(options.timeout if seconds is None else seconds),
                session.request(
                    method, url, params=query, data=body, headers=headers, allow_redirects=False, middlewares=repeat
                ) as response,
            ):
                return await read(response, options.max_response_bytes)
        except TimeoutError:
            raise NoAnswerError(f"cannot {what}: no complete answer within {options.timeout:g} s") from None
        except aiohttp.ClientConnectorError as error:
            remedy = (
                "; a private authority belongs into ca_file" if isinstance(error, ssl.SSLCertVerificationError) else ""
            )
            reason = f"cannot {what}: {error.os_error}{remedy}"
            if session is self._session:
                self.connection_lost(reason)
            raise TransientError(reason) from error.os_error
        except (aiohttp.ClientError, OSError) as error:
            if session is not self._session:
                raise NoAnswerError(f"cannot {what}: the connection was closed meanwhile") from None
            # Without the cause: aiohttp's errors carry the request's headers, and with them the key.
            raise TransientError(f"cannot {what}: {reason_of(error)}") from None

    def _count(self, answer: Answer, sent: int, *, is_good: bool) -> None:
        received = len(answer.body or b"")
        if is_good:
            self.update_stats(packets_sent=1, packets_received=1, bytes_sent=sent, bytes_received=received)
        else:  # an answer that is an error proves no health, so it is not told as received
            self.update_stats(packets_sent=1, bytes_sent=sent, errors=1)

    def _live(self) -> "ClientSession":
        if self._session is None:
            base = self.options.base_url
            why = self.last_error and self.last_error.removeprefix(f"cannot connect {base}: ")
            raise NotConnectedError(f"cannot use {base}: {why or 'it is not connected'}")
        return self._session

    def _tls(self) -> ssl.SSLContext:
        """Blocks: it reads certificates."""
        options = self.options
        try:
            return shared_context(options.ca_file, verifies=options.verify_tls)
        except OSError as error:
            raise PermanentError(f"cannot connect {options.base_url}: ca_file {options.ca_file}: {error}") from error


def _query(params: Mapping[str, Param]) -> list[tuple[str, str]]:
    values = (
        (name, each) for name, given in params.items() for each in (given if isinstance(given, list) else [given])
    )
    return [
        (name, str(each).lower() if isinstance(each, bool) else str(each)) for name, each in values if each is not None
    ]
