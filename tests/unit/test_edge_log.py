"""What the log says of a link: its edges, and now and then that it is still down."""

import logging

import pytest

from connmgr.edge_log import EdgeLog
from connmgr.errors import Failure, Kind

REFUSED = Failure(Kind.TRANSIENT, "connection refused", "tcp")


def test_a_long_outage_is_told_at_its_edges_and_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    """An attempt a minute, for three and a half hours: the loss, three reminders, the return and how long it took."""
    edge = EdgeLog("press")
    with caplog.at_level(logging.INFO):
        edge.up(0.0)
        for minute in range(211):
            edge.down(60.0 * minute, REFUSED, following="retry in 60.0 s", is_edge=False)
        edge.up(60.0 * 211)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in told] == ["INFO", "WARNING", "WARNING", "WARNING", "WARNING", "INFO"]
    assert "connection is down" in told[1][1]
    assert ["down_for='3600 s'" in told[2][1], "down_for='7200 s'" in told[3][1], "10800 s" in told[4][1]] == [True] * 3
    assert "connected again" in told[5][1]
    assert "12660.0 s" in told[5][1]


def test_a_suspension_is_an_edge(caplog: pytest.LogCaptureFixture) -> None:
    """Being suspended is worth a line of its own between two reminders."""
    edge = EdgeLog("press")
    edge.down(0.0, REFUSED, following="retry in 5.0 s", is_edge=False)
    edge.down(5.0, REFUSED, following="suspended", is_edge=True)
    assert ["suspended" in record.getMessage() for record in caplog.records] == [False, True]
