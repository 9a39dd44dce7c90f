"""A Modbus TCP device through pymodbus' blocking client. The name of this file is the name of the type.

The plugin `modbus`, which comes with connmgr, does more (RTU, several units on one link, writing); this one shows how
to wrap a client library in one screen.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connmgr import BaseConnection, RefusedError, TransientError, map_errors

if TYPE_CHECKING:
    from pymodbus.client import ModbusTcpClient

MOST = 125  # registers in one request, says the protocol


class ModbusTCPConnection(BaseConnection):
    """Reads holding registers."""

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:
        super().__init__(connection_id, config, app_context)
        self.host = config["host"]
        self.port = config.get("port", 502)
        self.unit = config.get("unit", 1)
        self.check_address = config.get("check_address", 0)
        self.timeout = config.get("timeout", 2.0)
        self.client: ModbusTcpClient | None = None

    def connect(self) -> bool:
        from pymodbus.client import ModbusTcpClient  # here, so that a missing library hurts nothing but these links

        # A client for every session. It must not retry: that is connmgr's business.
        self.client = ModbusTcpClient(self.host, port=self.port, timeout=self.timeout, retries=0, reconnect_delay=0)
        if not self.client.connect():  # type: ignore[no-untyped-call]  # pymodbus leaves this one untyped
            raise TransientError(f"cannot connect to {self.host}:{self.port}: refused, or no answer")
        return True

    def disconnect(self) -> bool:
        client, self.client = self.client, None
        if client is not None:
            client.close()  # type: ignore[no-untyped-call]  # and this one
        return True

    def is_connected(self) -> bool:
        return self.client is not None and self.client.connected

    def health_check(self) -> bool:
        """A real question: an open socket says nothing about the device behind a gateway."""
        return len(self.read_holding_registers(self.check_address, 1)) == 1

    def read_holding_registers(self, address: int, count: int) -> list[int]:
        """Registers as unsigned 16-bit numbers, `address` counted from zero.

        Raises:
            RefusedError: the device knows no such registers. The link is fine.
        """
        from pymodbus import ModbusException

        if not 1 <= count <= MOST:
            raise ValueError(f"cannot read {count} registers: 1 to {MOST} at once")
        with self.exchange(self.timeout), map_errors("read registers", {ModbusException: TransientError}):
            if self.client is None:
                raise TransientError(f"cannot use {self.connection_id}: it is not connected")
            result = self.client.read_holding_registers(address, count=count, device_id=self.unit)
            if result.isError():
                raise RefusedError(f"cannot read {count} registers from {address}: {result}")
            if len(result.registers) != count:
                raise TransientError(f"asked for {count} registers, got {len(result.registers)}")
            self.update_stats(packets_sent=1, packets_received=1)
            return list(result.registers)
