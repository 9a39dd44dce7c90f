"""The supervision settings by themselves."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from connmgr.settings import GlobalSettings, SupervisionSettings


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "5", True, None, [5]])
@pytest.mark.parametrize("name", [name for name in GlobalSettings.model_fields if name != "auto_reconnect"])
def test_every_number_is_a_finite_number(name: str, value: Any) -> None:
    """Also when it does not come from a file."""
    with pytest.raises(ValidationError):
        GlobalSettings.model_validate({name: value})


def test_a_connection_inherits_everything_but_the_shared_limits() -> None:
    """The result is a plain `SupervisionSettings`, equal to one made from the same values."""
    settings = GlobalSettings(health_check_interval=7, dial_rate=3).supervision()
    assert type(settings) is SupervisionSettings
    assert settings == SupervisionSettings(health_check_interval=7)
    assert hash(settings) == hash(SupervisionSettings(health_check_interval=7))
