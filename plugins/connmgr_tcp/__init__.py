"""A TCP device that speaks lines, or bytes of its own: connection type `tcp`."""

from connmgr_tcp.connection import TcpConnection

__all__ = ["TcpConnection"]
