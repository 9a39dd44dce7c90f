"""The fault proxy, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from connmgr.testing import Direction, FaultProxy

SOON = 2.0
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _open_files() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """Answers each line with "<line> ok"."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while line := await reader.readline():
                writer.write(line.strip() + b" ok\n")
                await writer.drain()
        except OSError:
            pass
        finally:
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in list(writers):
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0.01)


@asynccontextmanager
async def proxied() -> AsyncIterator[FaultProxy]:
    """A healthy proxy before an echo server; afterwards nothing may be left of it."""
    async with echo_server() as port:
        before = _open_files()
        proxy = FaultProxy("127.0.0.1", port)
        async with proxy:
            yield proxy
        assert proxy.live == 0
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("fault proxy")]
        assert len(_open_files()) <= len(before) + 1  # the server may still hold its last one


@asynccontextmanager
async def client(proxy: FaultProxy) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def ask(stream: Stream, line: bytes) -> bytes:
    reader, writer = stream
    writer.write(line + b"\n")
    async with asyncio.timeout(SOON):
        return (await reader.readline()).strip()


async def nothing_comes(stream: Stream, seconds: float = 0.1) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await stream[0].read(1)


async def test_it_forwards_and_counts() -> None:
    """Without a fault bytes go both ways and are counted."""
    async with proxied() as proxy, client(proxy) as stream:
        assert await ask(stream, b"hello") == b"hello ok"
        assert (proxy.accepted, proxy.live) == (1, 1)
        assert proxy.counted == {Direction.TO_DEVICE: 6, Direction.TO_CLIENT: 9}


async def test_cut_is_a_proper_end() -> None:
    """After cut the client reads an end of stream; a new client gets through."""
    async with proxied() as proxy:
        async with client(proxy) as stream:
            await ask(stream, b"a")
            proxy.cut()
            async with asyncio.timeout(SOON):
                assert await stream[0].read() == b""
        async with client(proxy) as stream:
            assert await ask(stream, b"b") == b"b ok"


async def test_cut_with_unread_input_is_still_a_proper_end() -> None:
    """Bytes that nobody has read do not turn the FIN into a RST."""
    loop = asyncio.get_running_loop()
    async with proxied() as proxy:
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (proxy.host, proxy.port))
            proxy.delay(30)
            await loop.sock_sendall(sock, b"x" * 20_000)
            await asyncio.sleep(0.05)
            proxy.cut()
            await asyncio.sleep(0.05)
            assert await loop.sock_recv(sock, 100) == b""


async def test_reset_is_a_reset() -> None:
    """After reset the client gets ECONNRESET."""
    async with proxied() as proxy, client(proxy) as stream:
        await ask(stream, b"a")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(SOON):
                await stream[0].read()


async def test_silence_swallows_and_heals() -> None:
    """A silent line keeps the socket open, loses what was sent, and works again after heal."""
    async with proxied() as proxy, client(proxy) as stream:
        proxy.silence()
        stream[1].write(b"lost\n")
        await nothing_comes(stream)
        assert proxy.live == 1
        proxy.heal()
        assert await ask(stream, b"b") == b"b ok"


async def test_silence_in_one_direction() -> None:
    """With only the answers swallowed the requests still arrive."""
    async with proxied() as proxy, client(proxy) as stream:
        proxy.silence(Direction.TO_CLIENT)
        stream[1].write(b"hello\n")
        await nothing_comes(stream)
        assert proxy.counted[Direction.TO_DEVICE] == 6


async def test_half_open_hides_that_the_device_is_gone() -> None:
    """The device's side is closed; the client neither hears of it nor can tell by writing."""
    async with proxied() as proxy, client(proxy) as stream:
        await ask(stream, b"a")
        proxy.half_open()
        for _ in range(3):
            stream[1].write(b"anybody?\n")
            await nothing_comes(stream, 0.05)
        assert not stream[1].transport.is_closing()
        proxy.cut()
        assert await stream[0].read() == b""


async def test_accept_and_drop() -> None:
    """New clients are accepted and closed at once; live ones go on."""
    async with proxied() as proxy, client(proxy) as old:
        await ask(old, b"a")
        proxy.accept_and_drop()
        async with client(proxy) as stream:
            async with asyncio.timeout(SOON):
                assert await stream[0].read() == b""
        assert proxy.accepted == 2
        assert await ask(old, b"b") == b"b ok"


async def test_accept_then_silence() -> None:
    """New clients are accepted and never answered; a cut still reaches them."""
    async with proxied() as proxy:
        proxy.accept_then_silence()
        async with client(proxy) as stream:
            stream[1].write(b"hello\n")
            await nothing_comes(stream)
            proxy.cut()
            assert await stream[0].read() == b""


async def test_refuse_and_heal_on_the_same_port() -> None:
    """The listener goes and comes back on the very port, twenty times over."""
    async with proxied() as proxy:
        for _ in range(20):
            proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(proxy.host, proxy.port)
            proxy.heal()
            async with client(proxy) as stream:
                assert await ask(stream, b"a") == b"a ok"


async def test_a_device_that_is_away_shows_as_a_reset() -> None:
    """When the device refuses, the client's line ends at once."""
    async with proxied() as proxy:
        proxy.target = ("127.0.0.1", 1)
        async with client(proxy) as stream:
            with pytest.raises(ConnectionResetError):
                async with asyncio.timeout(SOON):
                    await stream[0].read()


async def test_delay_and_trickle() -> None:
    """Each answer takes at least as long as the fault says."""
    async with proxied() as proxy, client(proxy) as stream:
        proxy.delay(0.05)
        began = time.monotonic()
        await ask(stream, b"a")
        assert time.monotonic() - began >= 0.1
        proxy.heal()
        proxy.trickle(100, Direction.TO_CLIENT)
        began = time.monotonic()
        assert await ask(stream, b"1234567") == b"1234567 ok"
        assert time.monotonic() - began >= 0.1


async def test_split_delivers_single_bytes() -> None:
    """The reader sees one byte at a time."""
    async with proxied() as proxy, client(proxy) as stream:
        proxy.split(Direction.TO_CLIENT)
        stream[1].write(b"hello\n")
        pieces: list[bytes] = []
        async with asyncio.timeout(SOON):
            while b"".join(pieces) != b"hello ok\n":
                pieces.append(await stream[0].read(100))
        assert max(map(len, pieces)) == 1


async def test_garble_is_repeatable() -> None:
    """The same seed flips the same bits, and something is always flipped."""
    answers = []
    for _ in range(2):
        async with proxied() as proxy, client(proxy) as stream:
            proxy.garble(0.01, seed=7)
            stream[1].write(b"hello\n")
            async with asyncio.timeout(SOON):
                answers.append(await stream[0].readexactly(9))
    assert answers[0] == answers[1] != b"hello ok\n"


async def test_late_answer_arrives_late_and_first() -> None:
    """The held answer comes before the next one, complete, when its time is over."""
    async with proxied() as proxy, client(proxy) as stream:
        proxy.late_answer(0.15)
        stream[1].write(b"one\n")
        await nothing_comes(stream, 0.05)
        assert await ask(stream, b"two") == b"one ok"
        assert (await stream[0].readline()) == b"two ok\n"


async def test_late_answer_until_release() -> None:
    """Without a time the answer is held until it is released."""
    async with proxied() as proxy, client(proxy) as stream:
        proxy.late_answer()
        stream[1].write(b"one\n")
        await nothing_comes(stream)
        proxy.release()
        async with asyncio.timeout(SOON):
            assert await stream[0].readline() == b"one ok\n"


async def test_replay_gives_the_previous_answer() -> None:
    """The next request gets the previous answer, and only that one."""
    async with proxied() as proxy, client(proxy) as stream:
        await ask(stream, b"zero")
        await ask(stream, b"one")
        proxy.replay()
        assert await ask(stream, b"two") == b"one ok"
        assert await ask(stream, b"three") == b"three ok"


async def test_substitute_and_endless_answer() -> None:
    """Requests are answered by what the test says; an endless answer stops with heal and stays within its buffers."""
    async with proxied() as proxy, client(proxy) as stream:
        proxy.substitute(b"nonsense\n")
        assert await ask(stream, b"a") == b"nonsense"
        proxy.substitute(b"", then_for_ever=b"xyz")
        stream[1].write(b"b\n")
        await asyncio.sleep(0.2)  # nobody reads
        piled_up = proxy.counted[Direction.TO_CLIENT]
        await asyncio.sleep(0.1)
        assert proxy.counted[Direction.TO_CLIENT] == piled_up < 16_000_000
        proxy.heal()
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.1):
                    assert await stream[0].read(1_000_000)
        assert await ask(stream, b"c") == b"c ok"


async def test_cut_after_every_byte() -> None:
    """The client gets exactly the bytes that were let through, then an end or a reset."""
    for by_reset in (False, True):
        for count in range(9):
            async with proxied() as proxy, client(proxy) as stream:
                proxy.cut_after(count, by_reset=by_reset)
                stream[1].write(b"hello\n")
                got = b""
                try:
                    async with asyncio.timeout(SOON):
                        while piece := await stream[0].read(100):
                            got += piece
                    assert not by_reset
                except ConnectionResetError:
                    assert by_reset
                assert got == b"hello ok\n"[:count] or (by_reset and b"hello ok\n".startswith(got))


async def test_a_slow_reader_slows_the_writer() -> None:
    """What nobody reads is not piled up in the proxy."""
    async with proxied() as proxy, client(proxy) as stream:
        proxy.silence(Direction.TO_CLIENT)
        proxy.delay(30, Direction.TO_DEVICE)
        stream[1].write(b"x" * 50_000_000)
        await asyncio.sleep(0.1)
        assert stream[1].transport.get_write_buffer_size() > 30_000_000
