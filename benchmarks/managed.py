"""A `ConnectionManager` with some connections, for as long as a measurement takes."""

import json
import logging
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from connmgr import BaseConnection, ConnectionManager

PLUGINS = ("tcp", "serial", "s7", "modbus", "http")


@asynccontextmanager
async def managed(
    kind: str,
    configs: Mapping[str, object],
    settings: Mapping[str, object],
    types: Mapping[str, type[BaseConnection]] | None = None,
) -> AsyncIterator[ConnectionManager]:
    """Load and run a `connections.json` made of these.

    Args:
        kind: the connections' type; a config that is a pair is of another type: (type, config).
        types: more connection types, by name.
    """
    logging.disable(logging.CRITICAL)  # what is on purpose here would fill the screen
    connections = {}
    for name, config in configs.items():
        own, inner = config if isinstance(config, tuple) else (kind, config)
        connections[name] = {"type": own, "config": inner}
    async with ConnectionManager() as manager:
        for name, connection_class in (types or {}).items():
            manager.register_connection_type(name, connection_class)
        with tempfile.TemporaryDirectory(prefix="connmgr-bench-") as folder:
            path = Path(folder) / "connections.json"
            path.write_text(json.dumps({"settings": settings, "connections": connections}))
            await manager.load(path)
        yield manager
