"""connmgr inside a program of your own: its connections, its events, and what to look at when something is missing.

python examples/embed.py [connections.json]
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from connmgr import BaseConnection, ConnectionManager, ConnmgrError

HERE = Path(__file__).parent


def on_connected(connection: BaseConnection) -> None:
    """A plain callback runs in a thread of its own and may block; an `async` one runs in the event loop."""
    print(f"connected: {connection.connection_id}")


def on_error(connection: BaseConnection) -> None:
    print(f"error: {connection.connection_id}: {connection.last_error}")


async def main(config: Path, rounds: int, pause: float) -> None:
    async with ConnectionManager() as conn_mgr:
        await asyncio.to_thread(conn_mgr.add_plugin_folder, HERE / "plugins")  # imports them, which may take a while
        conn_mgr.on_event("connected", on_connected)
        conn_mgr.on_event("error", on_error)
        await conn_mgr.load(config)
        for _ in range(rounds):
            await ask(conn_mgr, "my_tcp_device")
            await asyncio.sleep(pause)
    # Leaving the block has disconnected everything.


async def ask(conn_mgr: ConnectionManager, connection_id: str) -> None:
    connection: Any = conn_mgr.get_connection(connection_id)
    if connection is None:
        print(f"{connection_id} is not in the configuration; there are {list(conn_mgr.connections)}")
    elif connection.is_connected():
        try:
            # Its methods block, so they are kept out of the event loop.
            print("answer:", await asyncio.to_thread(connection.request, b"COMMAND\n"))
        except ConnmgrError as error:  # the link may go down at any moment
            print(error)
    else:
        print(conn_mgr.explain(connection_id)["outlook"])


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]) if sys.argv[1:] else HERE / "connections.json", rounds=3600, pause=1.0))
    except KeyboardInterrupt:
        pass
