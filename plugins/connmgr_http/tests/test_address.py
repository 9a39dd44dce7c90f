"""A request goes to a place under `base_url`, or nowhere."""

import pytest
from pydantic import ValidationError

from connmgr_http.address import joined, path_of
from connmgr_http.options import HttpOptions


@pytest.mark.parametrize(
    ("base", "endpoint", "url"),
    [
        ("http://box", "values", "http://box/values"),
        ("http://box/", "/values", "http://box/values"),
        ("http://box/api///", "values/", "http://box/api/values/"),
        ("http://box/api", "", "http://box/api/"),
        ("https://[::1]:8443/api", "values?unit=C", "https://[::1]:8443/api/values?unit=C"),
        ("http://box", "/v1/sensor:read", "http://box/v1/sensor:read"),
        ("http://box", "a..b/.well-known", "http://box/a..b/.well-known"),
        ("http://box", "search?path=../etc", "http://box/search?path=../etc"),
    ],
)
def test_there_is_exactly_one_slash(base: str, endpoint: str, url: str) -> None:
    """However the two are written."""
    options = HttpOptions.model_validate({"base_url": base})
    assert joined(options.base_url, endpoint) == url


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://evil/values",
        "//evil/values",
        "HTTPS:evil",
        "..",
        "../admin",
        "a/../../admin",
        "a/%2e%2e/admin",
        "a/%2E./admin",
        "a/..%2fadmin",
        "a/%252e%252e/admin",
        "a\\..\\admin",
        "a/./b",
        "a\r\nHost: evil",
        "a#b",
        "a\x00",
    ],
)
def test_nothing_leads_away(endpoint: str) -> None:
    """Other hosts and paths above `base_url` are refused."""
    with pytest.raises(ValueError, match="cannot use"):
        joined("http://box/api", endpoint)
    with pytest.raises(ValidationError):
        HttpOptions.model_validate({"base_url": "http://box", "health_path": endpoint})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://box", "begins with http:// or https://"),
        ("box:8080", "begins with http:// or https://"),
        ("http://user:hunter2@box", "use api_key"),
        ("http://hunter2@box", "use api_key"),
        ("http://", "needs a host"),
        ("http://box:0", "port from 1 to 65535"),
        ("http://box:65536", "port from 1 to 65535"),
        ("http://box:x", "port from 1 to 65535"),
        ("http://0.0.0.0", "every address of this machine"),
        ("http://169.254.169.254", "metadata"),
        ("http://[::1", "needs a host"),
        ("http://box?key=hunter2", "no query"),
        ("http://box#x", "no query"),
        ("http://box/a/../b", r"\.\."),
        ("http://bo x", "without spaces"),
        ("http://b\u00f6x", "ASCII"),
        ("", "begins with"),
    ],
)
def test_wrong_addresses(url: str, message: str) -> None:
    """They are refused before anything is dialled, and not repeated, because a password may stand in them."""
    with pytest.raises(ValidationError, match=message) as refused:
        HttpOptions.model_validate({"base_url": url})
    assert "hunter2" not in str(refused.value)


def test_a_path_is_shown_without_its_query() -> None:
    """A query may hold secrets."""
    assert path_of("values?token=hunter2") == "/values"


@pytest.mark.parametrize("key", ["", " hunter2", "hunter2\n", "hunter2\u00e4", "hunter2\r\nX-Admin: 1"])
def test_a_key_fits_into_a_header(key: str) -> None:
    """Line ends would start a header of their own."""
    with pytest.raises(ValidationError, match="a key is ASCII text") as refused:
        HttpOptions.model_validate({"base_url": "http://box", "api_key": key})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ca_file": "/etc/ca.pem"}, "without an https base_url"),
        ({"base_url": "https://box", "ca_file": "/etc/ca.pem", "verify_tls": False}, "of no use"),
        ({"key_header": "X Key"}, "pattern"),
        ({"key_prefix": "Bearer\n"}, "pattern"),
        ({"max_response_bytes": 0}, "greater than or equal to 1"),
        ({"headers": {}}, "not permitted"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    """What cannot work is refused before anything is dialled."""
    with pytest.raises(ValidationError, match=message):
        HttpOptions.model_validate({"base_url": "http://box", **options})
