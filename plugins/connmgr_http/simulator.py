"""A simulated device with an HTTP API."""

from typing import TYPE_CHECKING, Any, ClassVar

from connmgr.testing import Simulator

if TYPE_CHECKING:
    from aiohttp.web import AppRunner


class HttpSimulator(Simulator):
    """Answers `/health`, `/api/values`, `/api/echo`, `/slow?seconds=`, `/big?bytes=` and `/status/<code>`.

    Args:
        host: address to listen on.
        port: TCP port; None takes `default_port`, 0 any free one.
        api_key: what every request has to carry in `X-API-Key`; None takes any.

    Attributes:
        health_status: the status that `/health` answers with.
        retry_after: what it adds as `Retry-After`; None for nothing.
        requests: requests so far.
    """

    default_port: ClassVar[int] = 8080

    def __init__(self, host: str = "127.0.0.1", port: int | str | None = None, *, api_key: str | None = None) -> None:
        super().__init__(host, port)
        self.api_key = api_key
        self.health_status = 200
        self.retry_after: str | None = None
        self.requests = 0
        self._runner: AppRunner | None = None

    async def start(self) -> None:
        from connmgr_http.simulated_api import serve

        self._runner = await serve(self)
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def config(self) -> dict[str, Any]:
        key = {} if self.api_key is None else {"api_key": self.api_key}
        return {"base_url": self.endpoint, "timeout": 5.0, **key}

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"
