"""A web service through requests. The name of this file is the name of the type.

The plugin `http`, which comes with connmgr, does more (limits on what it reads, other verbs, no thread for each link);
this one shows what to do with a library that connects anew whenever it likes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connmgr import AuthError, BaseConnection, RefusedError, TransientError, map_errors

if TYPE_CHECKING:
    from requests import Response, Session


class RESTAPIConnection(BaseConnection):
    """Gets JSON from a service that says how it is under /health."""

    def __init__(self, connection_id: str, config: Mapping[str, Any], app_context: Any) -> None:
        super().__init__(connection_id, config, app_context)
        self.base_url = config["base_url"].rstrip("/")
        self.api_key = config.get("api_key")  # written as {"$file": "…"} or {"$env": "…"}, it arrives here as text
        self.timeout = config.get("timeout", 5.0)  # requests itself would wait for ever
        self.session: Session | None = None

    def connect(self) -> bool:
        import requests

        self.session = requests.Session()
        if self.api_key:
            self.session.headers["Authorization"] = f"Bearer {self.api_key}"
        return self.health_check()

    def disconnect(self) -> bool:
        session, self.session = self.session, None
        if session is not None:
            session.close()
        return True

    def is_connected(self) -> bool:
        return self.session is not None

    def health_check(self) -> bool:
        self._get("health")
        return True

    def get(self, endpoint: str) -> Any:
        """The JSON under an endpoint.

        Raises:
            RefusedError: there is no such endpoint, or no JSON under it. The link is fine.
        """
        # HTTP keeps question and answer together by itself, so no exchange() has to hold the link.
        response = self._get(endpoint)
        try:
            return response.json()
        except ValueError:
            raise RefusedError(f"cannot read {self.base_url}/{endpoint}: no JSON") from None

    def _get(self, endpoint: str) -> "Response":
        import requests

        if self.session is None:
            raise TransientError(f"cannot use {self.connection_id}: it is not connected")
        url = f"{self.base_url}/{endpoint.lstrip('/')}"
        with map_errors(f"get {url}", {requests.RequestException: TransientError}):
            response = self.session.get(url, timeout=self.timeout)
        self.update_stats(packets_sent=1, packets_received=1, bytes_received=len(response.content))
        if response.status_code in (401, 403):
            raise AuthError(f"cannot get {url}: it answers {response.status_code}; is the api_key right?")
        if response.status_code >= 500:
            raise TransientError(f"cannot get {url}: it answers {response.status_code}")
        if response.status_code >= 400:
            raise RefusedError(f"cannot get {url}: it answers {response.status_code}")
        return response
