"""Opening, and the health check."""

import asyncio
import ssl
import subprocess
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from connmgr import AuthError, NoAnswerError, PermanentError, RetryAfter, TransientError
from connmgr.testing import FaultProxy
from connmgr_http.answers import retry_after
from connmgr_http.simulator import HttpSimulator
from connmgr_http.tests.conftest import Api
from connmgr_http.tests.raw_server import RawServer, page

KEY = "hunter2"
Dial = Callable[[dict[str, Any]], Awaitable[Api]]


async def test_a_key(dial: Dial) -> None:
    """The right one opens the connection, a wrong one or none suspends it."""
    async with HttpSimulator(port=0, api_key="hunter2") as simulator:
        api = await dial(simulator.config)
        assert await api.health_check() is True
        for wrong in ({"api_key": "hunter3"}, {"api_key": None}):
            with pytest.raises(AuthError, match=r"cannot connect .*: GET /health answered 401; check api_key"):
                await dial({**simulator.config, **wrong})


async def test_a_bearer_token(dial: Dial) -> None:
    """Header and prefix make any scheme."""
    async with RawServer() as server:
        await dial(server.config(api_key="hunter2", key_header="Authorization", key_prefix="Bearer "))
        assert b"Authorization: Bearer hunter2\r\n" in server.requests[0]


@pytest.mark.parametrize("health", [page(b"", "401 No"), b"hunter2 is no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nhunter2"])
async def test_the_key_is_not_told(dial: Dial, health: bytes) -> None:
    """Neither an error nor its traceback shows the key, even when the device repeats it."""
    async with RawServer() as server:
        server.health = health
        with pytest.raises((AuthError, TransientError)) as failed:
            await dial(server.config(api_key=KEY, timeout=0.2))
        told = "".join(traceback.format_exception(failed.value)) + repr(failed.value) + repr(failed.value.__cause__)
        assert KEY not in told


@pytest.mark.parametrize(("status", "health"), [(429, "7"), (503, "7")])
async def test_the_device_asks_for_a_pause(dial: Dial, status: int, health: str) -> None:
    """While connecting and later."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial(simulator.config)
        simulator.health_status, simulator.retry_after = status, health
        for call in (api.health_check(), dial(simulator.config)):
            with pytest.raises(RetryAfter, match=f"answered {status} and asks for a pause of 7 s") as pause:
                await call
            assert pause.value.seconds == 7


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("120", 120, 120), (" 5 ", 5, 5), ("0", 1, 1), ("-5", None, None), ("", None, None), ("soon", None, None)],
)
def test_pauses(value: str, least: float | None, most: float | None) -> None:
    """Never less than a second, and nothing for what says nothing."""
    pause = retry_after(value)
    assert pause == least if least is None or most is None else least <= (pause or 0) <= most


def test_pauses_until_a_date() -> None:
    """A date counts from now; one in the past is a second; years that are no years are nothing."""
    now = datetime.now(UTC)
    assert 55 <= (retry_after(format_datetime(now + timedelta(seconds=60), usegmt=True)) or 0) <= 60
    assert retry_after(format_datetime(now - timedelta(days=9), usegmt=True)) == 1
    assert retry_after("Mon, 01 Jan 99999 00:00:00 GMT") is None
    assert retry_after("9" * 6000) is None


@pytest.mark.parametrize("status", [204, 302, 404, 500, 503])
async def test_another_status(dial: Dial, status: int) -> None:
    """Anything but the expected status is a transient failure that says both."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial(simulator.config)
        simulator.health_status = status
        with pytest.raises(TransientError, match=f"cannot check .*: GET /health answered {status}, expected 200"):
            await api.health_check()
        assert api.stats["errors"] == 1


async def test_an_expected_status(dial: Dial) -> None:
    """Another path and another status may be the sign of health, also one that means no elsewhere."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial({**simulator.config, "health_path": "status/404?x=1", "expect_status": 404})
        assert await api.health_check() is True


async def test_nobody_listens(dial: Dial) -> None:
    """The error names the address and the reason."""
    async with HttpSimulator(port=0) as simulator:
        config = simulator.config
    with pytest.raises(TransientError, match=r"cannot connect http://127.0.0.1:\d+: .*111"):
        await dial(config)


async def test_the_name_is_unknown(dial: Dial) -> None:
    """The reason is the name service's own, as the cause."""
    with pytest.raises(TransientError, match=r"cannot connect http://nobody\.invalid: ") as failed:
        await dial({"base_url": "http://nobody.invalid", "timeout": 5.0})
    assert isinstance(failed.value.__cause__, OSError)


async def test_a_silent_device(dial: Dial) -> None:
    """It is given up at `timeout`, while connecting and later."""
    async with HttpSimulator(port=0) as simulator, FaultProxy("127.0.0.1", int(simulator.port)) as proxy:
        config = {**simulator.config, "base_url": f"http://127.0.0.1:{proxy.port}", "timeout": 0.2}
        api = await dial(config)
        proxy.silence()
        for call in (api.health_check(), dial(config)):
            with pytest.raises(NoAnswerError, match=r"no complete answer within 0.2 s"):
                await call


async def test_two_sessions_of_one_object(dial: Dial) -> None:
    """The same object connects again after the device was away."""
    async with HttpSimulator(port=0) as simulator:
        api = await dial(simulator.config)
        await simulator.stop()
        await api.disconnect()
        assert not api.is_connected()
        with pytest.raises(TransientError):
            await api.connect()
        await api.disconnect()
        await simulator.start()
        await api.connect()
        assert await api.health_check() is True


async def test_a_cancelled_connect() -> None:
    """Disconnect closes what is half open (the fixture for all tests looks)."""
    async with HttpSimulator(port=0) as simulator, FaultProxy("127.0.0.1", int(simulator.port)) as proxy:
        proxy.accept_then_silence()
        api = Api("api", {**simulator.config, "base_url": f"http://127.0.0.1:{proxy.port}"}, None)
        connecting = asyncio.create_task(api.connect())
        await asyncio.sleep(0.05)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert await api.disconnect() is True


# --- https


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that signed itself, in one file."""
    path = tmp_path / "device.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=device"
    files: list[str | Path] = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", tmp_path / "cert"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "cert").read_text())
    return path


def served_with(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.needs("openssl")
async def test_https(dial: Dial, certificate: Path) -> None:
    """The certificate is checked against `ca_file`, or not at all where that is asked for."""
    async with RawServer(tls=served_with(certificate)) as server:
        with pytest.raises(TransientError, match=r"cannot connect https://.*CERTIFICATE_VERIFY_FAILED.*ca_file"):
            await dial(server.config())
        for options in ({"ca_file": str(tmp_ca(certificate))}, {"verify_tls": False}):
            api = await dial(server.config(**options))
            assert await api.health_check() is True


def tmp_ca(certificate: Path) -> Path:
    return certificate.with_name("cert")


async def test_a_missing_ca_file(dial: Dial, tmp_path: Path) -> None:
    """It will not appear by trying again: the connection is suspended."""
    (tmp_path / "empty").touch()
    for path in (tmp_path / "missing.pem", tmp_path / "empty", tmp_path):
        with pytest.raises(PermanentError, match=f"cannot connect https://localhost: ca_file {path}: "):
            await dial({"base_url": "https://localhost", "ca_file": str(path)})
