"""The figures of a link."""

import pytest

from connmgr.link_quality import LinkQuality


def test_nothing_yet() -> None:
    """Before anything has happened a figure is None and not zero."""
    report = LinkQuality(100).report(100)
    assert (report.rtt_p50, report.loss, report.availability, report.last_answer_age) == (None, None, None, None)
    assert (report.checks, report.checks_skipped, report.flaps_per_hour) == (0, 0, 0)


def test_round_trips() -> None:
    """Percentiles are nearest ranks over the newest 64."""
    quality = LinkQuality(0)
    for n in range(1, 101):
        quality.answered(n, n / 1000)
    report = quality.report(100)
    assert report.rtt_p50 == pytest.approx(0.068)
    assert report.rtt_p95 == pytest.approx(0.097)
    assert report.rtt_p99 == pytest.approx(0.100)
    quality = LinkQuality(0)
    quality.answered(1, 0.5)
    assert quality.report(1).rtt_p50 == quality.report(1).rtt_p99 == 0.5


def test_loss() -> None:
    """The share of failed checks over the newest 64."""
    quality = LinkQuality(0)
    quality.checked(failed=True)
    assert quality.report(1).loss == 1
    for _ in range(3):
        quality.checked(failed=False)
    assert quality.report(1).loss == 0.25
    for _ in range(61):
        quality.checked(failed=False)
    assert quality.report(1).loss == 0
    assert quality.report(1).checks == 65


def test_flaps_and_availability() -> None:
    """Losses count for an hour, disconnecting on command is none; availability is the share of time up."""
    quality = LinkQuality(0)
    quality.up(10)
    quality.down(60, lost=True)
    quality.down(61, lost=True)
    quality.up(80)
    assert quality.report(100).availability == pytest.approx(0.7)
    quality.down(100, lost=False)
    report = quality.report(100)
    assert report.flaps_per_hour == 1
    assert report.availability == pytest.approx(0.7)
    assert quality.report(3661).flaps_per_hour == 0


def test_age_of_the_last_answer() -> None:
    """The newest of: came up, answered, unasked traffic."""
    quality = LinkQuality(0)
    quality.up(10)
    assert quality.report(15).last_answer_age == 5
    quality.answered(20, 0.1)
    assert quality.report(25).last_answer_age == 5
    assert quality.report(25, traffic_at=23).last_answer_age == 2
    assert quality.report(25, traffic_at=11).last_answer_age == 5
    quality.skipped(3)
    assert quality.report(25).checks_skipped == 3
