"""The transition table is the whole truth about statuses."""

from itertools import product

import pytest

from connmgr.states import EVENTS, TRANSITIONS, ConnectionStatus, IllegalTransitionError, diagram, event_of

S = ConnectionStatus
ILLEGAL = {
    (S.DISCONNECTED, S.CONNECTED),
    (S.DISCONNECTED, S.ERROR),
    (S.ERROR, S.CONNECTED),
    (S.SUSPENDED, S.CONNECTED),
    (S.SUSPENDED, S.ERROR),
    (S.CONNECTED, S.CONNECTING),
    *((status, status) for status in S),
}


@pytest.mark.parametrize(("old", "new"), list(product(S, S)))
def test_every_pair(old: ConnectionStatus, new: ConnectionStatus) -> None:
    """Each of the 25 pairs is a transition with an event, or refused with both names."""
    if (old, new) in ILLEGAL:
        with pytest.raises(IllegalTransitionError, match=f"no way from {old.value} to {new.value}"):
            event_of(old, new)
    else:
        assert event_of(old, new) in EVENTS


def test_the_events() -> None:
    """An event has the name of the status it leads to; what leaves suspension is a resumption."""
    for (old, new), (event, _) in TRANSITIONS.items():
        assert event == ("resumed" if old is S.SUSPENDED and new is S.CONNECTING else new.value)


def test_the_diagram_shows_the_table() -> None:
    """The diagram has one line for each transition."""
    lines = diagram().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> disconnected"]
    assert len(lines) == 2 + len(TRANSITIONS)
    for (old, new), (event, cause) in TRANSITIONS.items():
        assert f"    {old.value} --> {new.value}: {event} ({cause})" in lines
