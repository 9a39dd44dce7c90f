"""Modbus devices over TCP, over a serial line (RTU), and over a gateway that carries RTU frames in TCP."""

from connmgr_modbus.connection import ModbusConnection

__all__ = ["ModbusConnection"]
