"""The promises of every plugin, checked by the kit."""

from connmgr.testing import contract_tests
from connmgr_tcp import TcpConnection
from connmgr_tcp.simulator import TcpSimulator


async def echo(line: TcpConnection) -> bytes:
    """One exchange."""
    return await line.request(b"ECHO 21.5\n")


TestContract = contract_tests(TcpConnection, TcpSimulator, config={"timeout": 0.5}, exercise=echo)
TestContractOfTheSocketAlone = contract_tests(
    TcpConnection,
    TcpSimulator,
    config={"timeout": 0.5, "health_check": None},
    exercise=echo,
    excused={
        "health_check_sees_a_silent_peer": "without a question nothing is sent, so silence cannot be told from peace"
    },
)
