"""The conformance kit and a device that its proxy cannot reach."""

import asyncio
from typing import Any, ClassVar

import connmgr
from connmgr import BaseConnection, TransientError
from connmgr.testing import Simulator, check_contract
from connmgr.testing.contract import RULES


class Datagrams(BaseConnection):
    """Asks by UDP, and needs an answer."""

    _transport: asyncio.DatagramTransport | None = None

    async def connect(self) -> bool:
        heard = asyncio.get_running_loop().create_future()
        address = (self.config["host"], self.config["port"])

        class Ear(asyncio.DatagramProtocol):
            def datagram_received(self, *_: object) -> None:
                heard.set_result(True)

            def error_received(self, exc: Exception) -> None:
                heard.set_exception(TransientError(f"cannot ask udp://{address}: {exc}"))

        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(Ear, remote_addr=address)
        self._transport.sendto(b"?")
        return bool(await heard)

    async def disconnect(self) -> bool:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        return True

    def is_connected(self) -> bool:
        return self._transport is not None

    async def health_check(self) -> bool:
        return True


class DatagramDevice(Simulator):
    """Sends back what it gets."""

    default_port: ClassVar[int] = 4002
    _transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        class Echo(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, address: Any) -> None:
                self.transport.sendto(data, address)

        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=(self.host, int(self.port)))
        self.port = self._transport.get_extra_info("sockname")[1]

    async def stop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def config(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port}

    @property
    def endpoint(self) -> str:
        return f"udp://{self.host}:{self.port}"


async def test_a_device_on_udp_is_told_apart_from_a_broken_one() -> None:
    """The verdict says that the kit's proxy is in the way, and what to do: the plugin's own error alone misleads."""
    others = dict.fromkeys(set(RULES) - {"the_same_object_connects_again"}, "not asked for here")
    verdicts = await check_contract(Datagrams, DatagramDevice, excused=others)
    [verdict] = [each for each in verdicts if each.passed is False]
    assert "cannot ask udp://" in verdict.detail
    assert "the kit carries TCP and serial lines" in verdict.detail
    assert "excused" in verdict.detail


def test_what_can_be_imported_can_be_looked_up() -> None:
    """dir(connmgr), which editors and the prompt complete from, has the names that are only loaded when asked for."""
    assert set(connmgr.__all__) <= set(dir(connmgr))
