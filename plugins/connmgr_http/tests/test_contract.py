"""The promises of every plugin, checked by the kit."""

from typing import Any

from connmgr.testing import contract_tests
from connmgr_http import HttpConnection
from connmgr_http.simulator import HttpSimulator


async def read_values(device: HttpConnection) -> Any:
    """One exchange."""
    return await device.get("api/values")


TestContract = contract_tests(
    HttpConnection,
    HttpSimulator,
    config={"timeout": 0.5, "api_key": "a key"},
    exercise=read_values,
    excused={
        "a_lost_line_is_reported": "between two requests HTTP has no line: servers close idle sockets as they like",
        "a_line_cut_within_an_answer_is_a_transient_failure": "a GET whose socket is closed before its"
        " answer has begun is asked once more on a new one, as HTTP wants it; later cuts are in test_requests.py",
    },
)
