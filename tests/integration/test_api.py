"""The control API over its real unix socket: answers, problems, long polls, and whatever else people send."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from connmgr import BaseConnection, ConnectionManager
from connmgr.api.control import Control
from connmgr.api.server import ApiServer, SocketUnavailableError
from connmgr.config import ConfigProblems, Diff, Place, Problem
from connmgr.errors import ConnmgrError


class Easy(BaseConnection):
    """Always up. Its last error is whatever a test says."""

    async def connect(self) -> bool:
        return True

    async def disconnect(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return True

    async def health_check(self) -> bool:
        return True


class Api:
    """A manager with its API, and a client of it."""

    def __init__(
        self, manager: ConnectionManager, control: Control, path: Path, session: aiohttp.ClientSession
    ) -> None:
        self.manager = manager
        self.control = control
        self.path = path
        self._session = session

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and decoded body; `path` is sent as it is."""
        url = URL(f"http://connmgr{path}", encoded=True)
        async with self._session.request(method, url, **more) as answer:
            text = await answer.text()
            assert answer.status < 300 or answer.content_type == "application/problem+json", text
            return answer.status, json.loads(text)

    async def get(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body


@asynccontextmanager
async def serving(folder: Path, connections: Mapping[str, Any]) -> AsyncIterator[Api]:
    file = folder / "connections.json"
    file.write_text(json.dumps({"connections": connections}))
    async with ConnectionManager(node="test") as manager:
        manager.register_connection_type("easy", Easy)

        async def reload(dry_run: bool) -> Diff:
            return manager.changes(manager.read(file)) if dry_run else await manager.load(file)

        await manager.load(file)
        control = Control(manager, reload, ready=True, figures=lambda: {"node": "test"})
        path = folder / "s"
        async with ApiServer(control, path):
            connector = aiohttp.UnixConnector(str(path))
            timeout = aiohttp.ClientTimeout(20)
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                yield Api(manager, control, path, session)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path, {"a": {"type": "easy"}, "off": {"type": "easy", "enabled": False}}) as found:
        await _connected(found)
        yield found


async def _connected(api: Api) -> None:
    async with asyncio.timeout(10):
        while (await api.get("/api/v1/connections/a"))["status"] != "connected":
            await asyncio.sleep(0.01)


SEED_KEYS = {"connection_id", "type", "status", "connected_at", "last_error", "reconnect_attempts", "stats"}
OUR_KEYS = {"name", "enabled", "connection_type", "next_attempt_at", "since", "quality"}


async def test_the_shape_of_an_answer(api: Api) -> None:
    """{"node", "connections"}, each connection with the keys of `get_status()` and ours."""
    found = await api.get("/api/v1/connections")
    assert set(found) == {"node", "connections"}
    assert list(found["connections"]) == ["a", "off"]
    one = found["connections"]["a"]
    assert set(one) >= SEED_KEYS | OUR_KEYS
    assert one["status"] == "connected"
    assert one["type"] == "Easy"
    assert one["connection_type"] == "easy"
    assert found["connections"]["off"]["enabled"] is False
    explained = await api.get("/api/v1/connections/a")
    assert explained["outlook"] == "it is connected"
    assert [event["event"] for event in explained["events"]] == ["connecting", "connected"]


async def test_commands(api: Api) -> None:
    """Each command does what it says and answers with the connection."""
    for verb, status in (("suspend", "suspended"), ("disconnect", "disconnected")):
        code, found = await api.ask("POST", f"/api/v1/connections/a/{verb}")
        assert (code, found["status"]) == (200, status)
    for verb in ("connect", "suspend", "resume", "reconnect"):
        code, _ = await api.ask("POST", f"/api/v1/connections/a/{verb}")
        assert code == 200
    await _connected(api)


PROBLEMS = {
    "an unknown connection": ("GET", "/api/v1/connections/nix", 404, "no-such-connection"),
    "a command to an unknown one": ("POST", "/api/v1/connections/nix/connect", 404, "no-such-connection"),
    "a command to a disabled one": ("POST", "/api/v1/connections/off/connect", 409, "refused"),
    "an unknown command": ("POST", "/api/v1/connections/a/explode", 404, "not-found"),
    "an unknown path": ("GET", "/nix", 404, "not-found"),
    "the wrong method": ("DELETE", "/api/v1/connections/a", 405, "method-not-allowed"),
    "a command by GET": ("GET", "/api/v1/connections/a/connect", 405, "method-not-allowed"),
    "a bad number": ("GET", "/api/v1/events?after=x", 400, "bad-request"),
    "a negative number": ("GET", "/api/v1/events?after=-1", 400, "bad-request"),
    "not a number": ("GET", "/api/v1/events?wait=nan", 400, "bad-request"),
    "an infinite number": ("GET", "/api/v1/events?after=inf", 400, "bad-request"),
    "a huge number": ("GET", "/api/v1/events?after=1e300", 400, "bad-request"),
    "a number of many digits": ("GET", f"/api/v1/events?after={'9' * 5000}", 400, "bad-request"),
    "a long id": ("GET", f"/api/v1/connections/{'x' * 5000}", 404, "no-such-connection"),
    "an encoded slash": ("GET", "/api/v1/connections/a%2F..%2Fb", 404, "no-such-connection"),
    "an encoded NUL": ("GET", "/api/v1/connections/%00", 404, "no-such-connection"),
    "an encoded line end": ("GET", "/api/v1/connections/a%0D%0AX-Evil:%201", 404, "no-such-connection"),
    "bytes that are not UTF-8": ("GET", "/api/v1/connections/%ff%fe", 404, "no-such-connection"),
    "half a surrogate pair": ("GET", "/api/v1/connections/%ed%a0%80", 404, "no-such-connection"),
    "an escape sequence": ("POST", "/api/v1/connections/%1b%5b31m/connect", 404, "no-such-connection"),
}


@pytest.mark.parametrize("what", PROBLEMS)
async def test_problems(api: Api, what: str) -> None:
    """An error is a problem document with a stable type, a title, its status and a sentence; never a traceback."""
    method, path, status, kind = PROBLEMS[what]
    code, found = await api.ask(method, path)
    assert code == status == found["status"]
    assert found["type"] == f"urn:connmgr:problem:{kind}"
    assert found["title"]
    assert found["detail"]
    assert "Traceback" not in json.dumps(found)


async def test_a_bad_file(api: Api, tmp_path: Path) -> None:
    """Reloading an invalid file is a 422 that lists every error with its place; nothing changes."""
    (tmp_path / "connections.json").write_text('{"connections": {"a": {"type": "nix"}, "b": 1}}')
    for query in ("", "?dry_run=1"):
        code, found = await api.ask("POST", f"/api/v1/reload{query}")
        assert code == 422
        assert found["type"] == "urn:connmgr:problem:bad-configuration"
        assert [error["path"] for error in found["errors"]] == ["connections.a.type", "connections.b"]
        assert all(error["line"] == 1 and error["column"] and error["message"] for error in found["errors"])
    assert list((await api.get("/api/v1/connections"))["connections"]) == ["a", "off"]


@pytest.mark.parametrize("what", ["a bug", "a refusal"])
async def test_what_goes_wrong_inside(api: Api, what: str) -> None:
    """A bug is a 500 with a reference into the log and not a word of the exception; a refusal is a 409."""

    async def fail(_: bool) -> Diff:
        raise ConnmgrError("cannot do it now") if what == "a refusal" else RuntimeError("secret inside")

    api.control.reload = fail
    code, found = await api.ask("POST", "/api/v1/reload")
    assert code == (409 if what == "a refusal" else 500)
    assert "secret inside" not in json.dumps(found)
    assert ("reference" in found) is (what == "a bug")


async def test_a_problem_that_names_no_place(api: Api) -> None:
    """A file that is not there has no line."""

    async def fail(_: bool) -> Diff:
        raise ConfigProblems([Problem(Place("x.json"), "", "there is no such file", "check the path")])

    api.control.reload = fail
    code, found = await api.ask("POST", "/api/v1/reload")
    assert code == 422
    assert found["errors"][0]["line"] is None


async def test_a_last_error_that_cannot_be_written(api: Api) -> None:
    """Half a surrogate pair or control characters in what a device said break no answer."""
    connection = api.manager.get_connection("a")
    assert connection is not None
    connection.last_error = "device said \udc80 \x1b[2J \x00"
    found = await api.get("/api/v1/connections")
    assert "device said" in found["connections"]["a"]["last_error"]


# --- events


async def test_events_in_order_and_resumed(api: Api) -> None:
    """`seq` of one answer is `after` of the next: nothing twice, nothing left out; `connection` narrows it down."""
    first = await api.get("/api/v1/events")
    assert [event["seq"] for event in first["events"]] == [1, 2]
    assert first["seq"] == 2
    assert (await api.get("/api/v1/events?after=2"))["events"] == []
    await api.ask("POST", "/api/v1/connections/a/suspend")
    second = await api.get(f"/api/v1/events?after={first['seq']}&boot_id={first['boot_id']}")
    assert [event["event"] for event in second["events"]] == ["suspended"]
    assert set(second["events"][0]) == {
        "seq", "at", "connection_id", "event", "old", "new", "reason", "layer", "attempts",
    }  # fmt: skip
    other = await api.get("/api/v1/events?connection=off")
    assert other["events"] == []
    assert other["seq"] == 3


async def test_a_long_poll(api: Api) -> None:
    """With `wait` the answer comes with the event, or empty when the time is up; many may wait at once."""
    polls = [asyncio.create_task(api.get("/api/v1/events?after=2&wait=15")) for _ in range(50)]
    await asyncio.sleep(0.2)
    assert not any(poll.done() for poll in polls)
    await api.ask("POST", "/api/v1/connections/a/suspend")
    for found in await asyncio.gather(*polls):
        assert [event["event"] for event in found["events"]] == ["suspended"]
    began = asyncio.get_running_loop().time()
    empty = await api.get("/api/v1/events?after=3&wait=0.2")
    assert empty["events"] == []
    assert empty["seq"] == 3
    assert asyncio.get_running_loop().time() - began < 5


async def test_resume_across_a_restart(tmp_path: Path) -> None:
    """With the boot_id of an earlier daemon the count starts anew, so that nothing of the new one is skipped."""
    connections = {"a": {"type": "easy"}}
    async with serving(tmp_path, connections) as api:
        await _connected(api)
        old = await api.get("/api/v1/events")
    async with serving(tmp_path, connections) as api:
        await _connected(api)
        found = await api.get(f"/api/v1/events?after=5000&boot_id={old['boot_id']}")
        assert found["boot_id"] != old["boot_id"]
        assert [event["seq"] for event in found["events"]] == [1, 2]
        ahead = await api.get("/api/v1/events?after=5000")
        assert ahead["seq"] == 2


async def test_a_poll_ends_with_its_client(api: Api) -> None:
    """Whoever hangs up in the middle of a long poll leaves no request behind."""
    _, writer = await asyncio.open_unix_connection(str(api.path))
    before = asyncio.all_tasks()
    writer.write(b"GET /api/v1/events?after=2&wait=30 HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() - before
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)


async def test_health_and_readiness(api: Api) -> None:
    """200 when all is well; /readyz is 503 before start-up is over, /healthz when an owner has died."""
    assert (await api.get("/healthz"))["status"] == "ok"
    assert (await api.get("/readyz"))["ready"] is True
    api.control.ready = False
    # Health answers are no problem documents: probes look at the status alone.
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(api.path))) as session,
        session.get("http://connmgr/readyz") as answer,
    ):
        assert answer.status == 503


# --- what is no request of ours


async def test_bodies_are_not_read(api: Api) -> None:
    """A huge body is refused or ignored, and the next request works."""
    code, _ = await api.ask("GET", "/api/v1/connections")
    try:
        code, _ = await api.ask("POST", "/api/v1/connections/a/reconnect", data=io.BytesIO(b"x" * 5_000_000))
    except aiohttp.ClientError:
        code = 413  # hung up on
    assert code in (200, 413)
    assert (await api.get("/healthz"))["status"] == "ok"


GARBAGE = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "half a line": b"GET /api/v1/conn",
    "a header without an end": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
    "a long path": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a bad chunk": b"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "an absolute address": b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "an unknown version": b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    "raw bytes in the path": b"GET /api/v1/connections/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "an upgrade": b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "expectations": b"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nExpect: the-inquisition\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_garbage(api: Api, what: str) -> None:
    """Whatever is sent, there is no 500, no traceback, and the next request works."""
    answer = await asyncio.to_thread(_send_raw, api.path, GARBAGE[what])
    assert b" 500 " not in answer.split(b"\r\n")[0], answer
    assert b"Traceback" not in answer
    assert (await api.get("/healthz"))["status"] == "ok"


def _send_raw(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(2)
        peer.connect(str(path))
        answer = b""
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            while piece := peer.recv(65_536):
                answer += piece
        except OSError:
            pass
        return answer


# --- the socket


async def test_the_socket_belongs_to_one(api: Api) -> None:
    """A second server on the same path is refused, and the first one's socket stays; its mode keeps others out."""
    assert api.path.stat().st_mode & 0o777 == 0o660
    with pytest.raises(SocketUnavailableError, match="another connmgr has it"):
        await ApiServer(api.control, api.path).__aenter__()
    assert (await api.get("/healthz"))["status"] == "ok"


async def test_the_end_does_not_wait_for_long_polls(tmp_path: Path) -> None:
    """A poll that is held when the server ends is cut off within seconds."""
    async with serving(tmp_path, {"a": {"type": "easy"}}) as api:
        await _connected(api)
        reader, writer = await asyncio.open_unix_connection(str(api.path))
        writer.write(b"GET /api/v1/events?after=2&wait=30 HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 5
    async with asyncio.timeout(5):
        assert b" 500 " not in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_what_is_no_http_does_not_fill_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may open the socket can send garbage; each request is answered, and none of them costs a traceback."""
    async with serving(tmp_path, {}) as api:
        for garbage in (
            b"\x00\xff\n\n",
            b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
            b"GET /\xe9 HTTP/1.1\r\n\r\n",
        ):
            reader, writer = await asyncio.open_unix_connection(str(api.path))
            writer.write(garbage)
            assert b" 400 Bad Request" in await reader.readline()
            writer.close()
            await writer.wait_closed()
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]
