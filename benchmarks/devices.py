"""A `connections.json` with many TCP devices, spread over several loopback addresses because ports run out."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOSTS = [f"127.0.0.{number}" for number in range(1, 9)]


@contextmanager
def connections_json(number: int, port: int, settings: dict[str, object]) -> Iterator[Path]:
    """The file, for as long as it is needed."""
    check = {"send": "PING\n", "expect": "PONG"}
    connections = {
        f"device-{index:05}": {
            "type": "watched",
            "config": {"host": HOSTS[index % len(HOSTS)], "port": port, "health_check": check},
        }
        for index in range(number)
    }
    with tempfile.TemporaryDirectory(prefix="connmgr-bench-") as folder:
        path = Path(folder) / "connections.json"
        path.write_text(json.dumps({"settings": settings, "connections": connections}))
        yield path
