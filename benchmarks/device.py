"""One simulated device that goes and comes on command. A process of its own.

    python -m benchmarks.device TYPE

Says its `{"config": …}` when it runs. The commands `stop` and `start` answer with the times (Unix nanoseconds) at which
they began and ended; `start` also with the device's configuration.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.child import answer, commands
from connmgr.registry import simulators


async def main(kind: str, folder: str) -> None:
    """Run until standard input ends."""
    port = str(Path(folder) / "port") if kind == "serial" else 0
    simulator = simulators()[kind].load()(port=port)
    await simulator.start()
    answer(config=simulator.config)
    async for command in commands():
        began = time.time_ns()
        await (simulator.stop() if command["what"] == "stop" else simulator.start())
        answer(began=began, ended=time.time_ns(), config=simulator.config)
    await simulator.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="connmgr-bench-") as folder:
        asyncio.run(main(sys.argv[1], folder))
