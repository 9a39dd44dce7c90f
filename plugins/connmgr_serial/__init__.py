"""Devices on a serial port: RS-232, RS-485, USB adapters."""

from connmgr_serial.connection import SerialConnection

__all__ = ["SerialConnection"]
