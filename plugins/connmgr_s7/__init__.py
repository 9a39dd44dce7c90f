"""Siemens S7 PLCs over ISO-on-TCP, for connmgr."""

from connmgr_s7.connection import S7Connection

__all__ = ["S7Connection"]
