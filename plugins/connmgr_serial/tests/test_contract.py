"""The contract, with and without a question as the health check."""

from connmgr.testing import contract_tests
from connmgr_serial import SerialConnection
from connmgr_serial.simulator import SerialSimulator


async def ask(connection: SerialConnection) -> bytes:
    """A question whose answer stays the same."""
    return await connection.request(b"ID\n")


TestContract = contract_tests(SerialConnection, SerialSimulator, config={"timeout": 1.0, "silence": 0.2}, exercise=ask)
