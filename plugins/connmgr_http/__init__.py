"""A device or service with an HTTP API: connection type `http`."""

from connmgr_http.answers import HttpStatusError
from connmgr_http.connection import HttpConnection

__all__ = ["HttpConnection", "HttpStatusError"]
