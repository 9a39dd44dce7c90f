"""aiohttp's failures, told without anything that was sent or received."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse


async def never_twice(request: "ClientRequest", handler: "ClientHandlerType") -> "ClientResponse":
    """A middleware: a request whose socket closes fails in a way that aiohttp does not answer by sending it again."""
    import aiohttp

    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:  # nothing was sent
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(reason_of(error)) from None


def reason_of(error: Exception) -> str:
    """Why a request failed, in our own words: aiohttp's may quote addresses with queries, and answers."""
    import aiohttp

    if type(error) is aiohttp.ClientConnectionError:
        return str(error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the device closed the connection instead of answering"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the answer is no HTTP"
    if isinstance(error, OSError) and error.strerror:
        return f"the connection broke: {error.strerror}"
    return type(error).__name__
