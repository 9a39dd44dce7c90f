"""`connections.json`: what is read, and what is said about every configuration that cannot be."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connmgr.config import ConfigProblems, Problem, TypeInfo, parse
from connmgr.errors import ConnmgrError
from connmgr.secrets import Redactor
from tests.unit.config_types import SEED, TYPES, one, problems, read, with_settings

RICH = """{
  "$schema": "schema.json",
  "settings": {"health_check_interval": 30, "reconnect_delay_max": 60.0, "dial_rate": 100},
  "connections": {
    "b": {"type": "tcp", "config": {"host": "10.0.0.4", "health_check": {"send": "PING\\n", "expect": "PONG"}}},
    "a": {"type": "tcp", "name": "Ä", "enabled": false, "config": {"host": "::1", "units": [1, 2]},
          "settings": {"health_check_interval": 5, "reconnect_max_attempts": 0}}
  }
}"""


def test_the_file_the_project_started_from_is_read() -> None:
    """With the defaults for everything it does not say."""
    config = read(SEED)
    connection = config.connections["my_tcp_device"]
    assert (connection.id, connection.type, connection.name) == ("my_tcp_device", "custom_tcp", "Mein TCP-Gerät")
    assert connection.enabled
    assert connection.config == {"host": "192.168.1.100", "port": 5000, "timeout": 5.0, "auto_reconnect": True}
    assert connection.raw_config == connection.config
    assert connection.settings == config.settings.supervision()
    assert connection.settings.reconnect_delay_initial == 5.0


def test_a_connection_has_its_own_settings_over_those_of_the_file() -> None:
    """In the order of the file; the name is the id where none is given."""
    config = read(RICH)
    assert list(config.connections) == ["b", "a"]
    b, a = config.connections.values()
    assert (b.name, a.name, a.enabled) == ("b", "Ä", False)
    assert (b.settings.health_check_interval, a.settings.health_check_interval) == (30, 5)
    assert (b.settings.reconnect_max_attempts, a.settings.reconnect_max_attempts) == (10, 0)
    assert config.settings.dial_rate == 100
    assert not hasattr(a.settings, "dial_rate")


@pytest.mark.parametrize(
    ("config", "settings", "expected"),
    [
        ("{}", "{}", True),
        ('{"auto_reconnect": false}', "{}", False),
        ('{"auto_reconnect": false}', '{"auto_reconnect": true}', True),
    ],
)
def test_auto_reconnect_may_stand_in_the_config(config: str, settings: str, expected: bool) -> None:
    """As it did in the beginning; the settings win, and the plugin still finds it in its config."""
    connection = read(one(config, f', "settings": {settings}', kind="custom_tcp")).connections["a"]
    assert connection.settings.auto_reconnect is expected
    assert connection.config == json.loads(config)


def test_the_options_model_does_not_see_auto_reconnect() -> None:
    """It forbids unknown keys and must not be asked."""
    assert read(one('{"host": "h", "auto_reconnect": true}')).connections["a"].config["auto_reconnect"] is True


def test_only_types_that_the_file_names_are_looked_up() -> None:
    """And only those with names that can be one: a hostile name never gets near an import."""
    asked = []

    def lookup(name: str) -> TypeInfo | None:
        asked.append(name)
        return TYPES.get(name)

    entries = {
        str(n): {"type": name} for n, name in enumerate(["custom_tcp", "custom_tcp", "os:system", "..evil/", "x"])
    }
    with pytest.raises(ConfigProblems):
        parse(json.dumps({"connections": entries}), "f", lookup, lambda: TYPES, redactor=Redactor())
    assert asked == ["custom_tcp", "x"]


def test_a_type_that_cannot_be_imported_is_only_a_problem_when_asked() -> None:
    """The daemon suspends that connection and runs the others; `check` says it."""
    text = one("{}", kind="gone")
    assert read(text).connections["a"].type == "gone"
    assert problems(text, strict=True) == [
        (
            "f.json:2:16 connections.a.type: the connection type 'gone' cannot be used: No module named 'snap8'; "
            "install or repair its plugin"
        )
    ]


def test_what_is_allowed_at_the_edge() -> None:
    """The bounds themselves."""
    settings = '"reconnect_delay_multiplier": 1.0, "reconnect_max_attempts": 0, "suspended_probe_interval": 0, '
    settings += '"stable_after": 0, "reconnect_jitter": 0, "reconnect_delay_initial": 0.01, "reconnect_delay_max": 0.01'
    assert read(with_settings(settings)).settings.reconnect_delay_initial == 0.01
    assert read(with_settings('"reconnect_delay_multiplier": 1e6')).settings.reconnect_delay_multiplier == 1e6


@pytest.mark.parametrize("text", [SEED.replace("\n", "\r\n"), "\ufeff" + SEED, SEED + "\n\n"])
def test_windows_line_ends_and_byte_order_marks_do_no_harm(text: str) -> None:
    """Editors add them without asking."""
    assert list(read(text.encode()).connections) == ["my_tcp_device"]


def test_all_problems_are_told_at_once_and_in_the_order_of_the_file() -> None:
    """A wrong section hides nothing in the next."""
    text = """{
  "settings": {"stable_after": -1, "reconnect_delay_max": 50},
  "connections": {
    "a": {"type": "tcp", "config": {"host": "", "port": 70000, "rack": 8}, "settings": {"reconnect_delay_initial": 51}},
    "b/": {"type": "tpc", "enabled": 1},
    "c": {"type": "tcp", "nam": "x", "config": {"password": {"$env": "NOT_SET_ANYWHERE"}}},
    "d": 5
  },
  "extra": 1
}"""
    found = [line.removeprefix("f.json:").split(": ")[0] for line in problems(text)]
    assert found == [
        "2:32 settings.stable_after",
        "4:45 connections.a.config.host",
        "4:57 connections.a.config.port",
        "4:72 connections.a.config.rack",
        "4:116 connections.a.settings.reconnect_delay_initial",
        '5:5 connections["b/"]',
        '5:20 connections["b/"].type',
        '5:38 connections["b/"].enabled',
        "6:26 connections.c.nam",
        "6:48 connections.c.config.host",
        "6:61 connections.c.config.password",
        "7:10 connections.d",
        "9:3 extra",
    ]  # fmt: skip


def test_the_exception_lists_the_problems() -> None:
    """For whoever only prints it; the problems themselves are data."""
    with pytest.raises(
        ConfigProblems, match=r"cannot use the configuration:\nf\.json:1:1: the file is empty"
    ) as caught:
        read("")
    (problem,) = caught.value.problems
    assert (problem.place.line, problem.place.column, problem.path) == (1, 1, "")
    assert isinstance(caught.value, ConnmgrError)
    many = ConfigProblems([problem] * 1000)
    assert len(many.problems) == 1000
    assert str(many).endswith("… and 980 more")


@pytest.mark.parametrize("text", [SEED, RICH], ids=["seed", "rich"])
def test_a_file_cut_anywhere_is_a_placed_problem(text: str) -> None:
    """Half-written files are the rule when a disk is full; nothing else than `ConfigProblems` comes of them."""
    data = text.encode()
    read(data)
    for length in range(len(data)):
        with pytest.raises(ConfigProblems) as caught:
            read(data[:length])
        (problem,) = caught.value.problems
        assert problem.place.line is not None
        assert problem.remedy


FRAGMENTS = st.sampled_from(
    [
        *("{", "}", "[", "]", ",", ":", " ", "\n", "//", "é", "1", "null", "true", "-1", "1e999", "NaN", '""', '"a"'),
        *('"connections"', '"settings"', '"type"', '"tcp"', '"config"', '"host"', '"broken"', '"password"', '"other"'),
        *('"$env"', '"$file"', '"\\ud800"', '"\\u0000"', '"auto_reconnect"'),
        '{"connections": {"a": {"type": "tcp", "config": {',
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["tcp", "broken", "h", "\ud800", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["connections", "settings", "type", "config", "host", "port", "$env", "$file", "name", "units"]
            )
            | st.sampled_from(
                ["password", "health_check", "send", "auto_reconnect", "stable_after", "other", "a/b", "$"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(deadline=None)
@given(
    st.lists(FRAGMENTS, max_size=25).map("".join)
    | VALUES.map(json.dumps)
    | VALUES.map(lambda v: json.dumps({"connections": {"a": v}, "settings": v}))
    | VALUES.map(lambda v: json.dumps({"connections": {"a": {"type": "tcp", "config": v, "settings": v, "name": v}}}))
    | VALUES.map(lambda v: json.dumps({"connections": {"a": {"type": "tcp", "config": {"host": v, "units": v}}}}))
    | st.binary(max_size=40)
    | st.text(max_size=40)
)
@example('{"connections": {"a": {"type": "broken", "config": {"number": 1e5}}}}')
@example(json.dumps({"connections": {"a": {"type": "tcp", "config": {"$env": "\ud800"}}}}))
@example(json.dumps({"connections": {"a": {"type": "tcp", "config": {"password": "half \ud800"}}}}))
def test_nothing_but_config_problems_ever_escapes(text: str | bytes) -> None:
    """Whatever stands in the file; and every problem fits on one line that can be printed."""
    found: tuple[Problem, ...] = ()
    try:
        read(text)
    except ConfigProblems as error:
        found = error.problems
        assert found
    for problem in found:
        assert str(problem).isprintable()
        str(problem).encode()
        assert problem.place.line is not None
