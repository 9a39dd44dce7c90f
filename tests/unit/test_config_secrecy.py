"""Secrets in a configuration: for the plugin, and for nobody else."""

import pytest

from connmgr.config import ConfigProblems
from connmgr.secrets import Redactor
from tests.unit.config_types import BrokenOptions, one, problems, read


def test_secrets_are_resolved_for_the_plugin_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be shown has references as written, and stars for what was written out."""
    monkeypatch.setenv("PLC_PASSWORD", "hunter2!")
    redactor = Redactor()
    text = one(
        '{"host": "h", "password": {"$env": "PLC_PASSWORD"}, "pin": "4711-0815",'
        ' "health_check": {"send": "http://u:letmein@h/", "expect": "x"}}'
    )
    connection = read(text, redactor=redactor).connections["a"]
    assert connection.config["password"] == "hunter2!"
    assert connection.config["pin"] == "4711-0815"
    assert connection.raw_config == {
        "host": "h",
        "password": {"$env": "PLC_PASSWORD"},
        "pin": "***",
        "health_check": {"send": "http://u:***@h/", "expect": "x"},
    }
    assert "hunter2!" not in repr(connection)
    assert redactor.scrub("hunter2! 4711-0815 letmein") == "*** *** ***"


SECRETS = [
    '{"password": "Tr0ub4dor", "host": 1}',
    '{"password": "Tr0ub4dor-and-more", "host": "h"}',
    '{"password": {"$env": "TROUBADOUR"}, "host": ""}',
    '{"host": {"$env": "TROUBADOUR"}}',
    '{"host": "h", "port": {"$env": "TROUBADOUR"}}',
    '{"host": "h", "parity": {"$env": "TROUBADOUR"}}',
    '{"host": "h", "units": [{"$env": "TROUBADOUR"}]}',
    '{"host": "h", "pin": ["Tr0ub4dor"]}',
    '{"host": "h", "apikey": "Tr0ub4dor"}',
    '{"host": "http://u:Tr0ub4dor@h"}',
    '{"password": "Tr0ub4dor", "parity": "Tr0ub4dor", "host": "h"}',
]


@pytest.mark.parametrize("config", SECRETS)
@pytest.mark.parametrize("kind", ["tcp", "broken"])
def test_no_secret_is_ever_in_a_message(config: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where it is wrong itself, and not where something else is; also its traceback has no trace of it."""
    monkeypatch.setenv("TROUBADOUR", "Tr0ub4dor / longer")
    with pytest.raises(ConfigProblems) as caught:
        read(one(config, kind=kind))
    assert "Tr0ub4dor" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_words_of_a_validator_are_told_without_the_secret() -> None:
    """Authors quote the value; where it is a secret, the sentence is dropped or the value replaced."""
    told = problems(one('{"password": "abc"}', kind="broken"))
    assert told == ["f.json:2:49 connections.a.config.password: not acceptable"]
    told = problems(one('{"other": "anything"}', kind="broken"))
    assert told == ["f.json:2:36 connections.a.config: cannot combine anything"]
    assert BrokenOptions().other == ""


def test_an_unresolved_secret_is_one_problem() -> None:
    """The model's complaint about the gap it leaves is not told as well."""
    (told,) = problems(one('{"host": {"$env": "NOT_SET_ANYWHERE"}}'))
    assert told.startswith(
        "f.json:2:42 connections.a.config.host: the environment variable NOT_SET_ANYWHERE is not set"
    )
