"""Bad configurations, and exactly what is said about each."""

import pytest

from tests.unit.config_types import SEED, one, problems, with_settings

CHOICE = "there are broken, custom_tcp, framed, gone, tcp"

# The corpus of bad configurations: text, then all problems without the file name.
CORPUS: dict[str, tuple[str | bytes, list[str]]] = {
    "1 empty": ("", ['1:1: the file is empty; the smallest valid file is {"connections": {}}']),
    "2 list": ("[]", ['1:1: the file is a list, an object is expected; write {"connections": {…}}']),
    "2 text": ('"x"', ['1:1: the file is text, an object is expected; write {"connections": {…}}']),
    "2 null": ("null", ['1:1: the file is null, an object is expected; write {"connections": {…}}']),
    "2 nothing": (
        "{}",
        [
            (
                '1:1 connections: required, but missing; add "connections": The connections by id: letters, digits and '
                "`_ . -`, at most 64."
            )
        ],
    ),
    "2 list inside": ('{"connections": []}', ["1:17 connections: this is a list, an object {…} is expected"]),
    "2 null inside": (
        '{"connections": {"a": null}}',
        ['1:23 connections.a: this is null, an object is expected; write {"type": "…", "config": {…}}'],
    ),
    "4 utf-16 le": (SEED.encode("utf-16"), ["1:1: the file is UTF-16; save it as UTF-8"]),
    "4 utf-16 without bom": (
        SEED.encode("utf-16-le"),
        ["1:2: a NUL byte; the file is not text, or not UTF-8; save it as UTF-8"],
    ),
    "4 latin-1": (SEED.encode("latin-1"), ["5:28: byte 0xE4 is not UTF-8; save it as UTF-8"]),
    "4 latin-1 after a bom": (
        b'\xef\xbb\xbf{\n"\xe4": 1}',
        ["2:2: byte 0xE4 is not UTF-8; save it as UTF-8"],
    ),
    "4 nul": (b'{"a": "\0"}', ["1:8: a NUL byte; the file is not text, or not UTF-8; save it as UTF-8"]),
    "4 half a surrogate pair": (
        '{"connections": {"a": {"type": "tcp", "name": "\\ud800", "config": {"host": "h"}}}}',
        ["1:47 connections.a.name: half of a surrogate pair is not a character; delete the \\ud…"],
    ),
    "4 half a surrogate pair in a config": (
        one('{"host": "\\ud800"}'),
        ["2:42 connections.a.config.host: half of a surrogate pair is not a character; delete the \\ud…"],
    ),
    "6 nan in a config with a model": (
        one('{"host": "h", "rack": NaN, "timeout": 1e999}'),
        [
            "2:55 connections.a.config.rack: NaN is not a number; a finite number is expected",
            "2:71 connections.a.config.timeout: 1e999 is too large for a number; a finite number is expected",
        ],
    ),
    "auto_reconnect null": (
        one('{"auto_reconnect": null}', kind="custom_tcp"),
        ["2:59 connections.a.config.auto_reconnect: this is null, true or false is expected"],
    ),
    "5 key twice": (
        one('{"host": "a",\n  "host": "b"}'),
        ["3:3 connections.a.config.host: this key is already given at 2:34; one of them has to go"],
    ),
    "6 nan": (
        with_settings('"connection_timeout": NaN'),
        ["2:23 settings.connection_timeout: NaN is not a number; a finite number is expected"],
    ),
    "6 infinity": (
        with_settings('"connection_timeout": -Infinity'),
        ["2:23 settings.connection_timeout: -Infinity is not a number; a finite number is expected"],
    ),
    "6 1e999": (
        with_settings('"connection_timeout": 1e999'),
        ["2:23 settings.connection_timeout: 1e999 is too large for a number; a finite number is expected"],
    ),
    "6 nan in a free config": (
        one('{"x": NaN}', kind="custom_tcp"),
        ["2:46 connections.a.config.x: NaN is not a number; a finite number is expected"],
    ),
    "6 endless integer": (
        with_settings(f'"reconnect_max_attempts": {"9" * 5000}'),
        ["2:27 settings.reconnect_max_attempts: an integer of 5000 characters is too long"],
    ),
    "7 zero": (with_settings('"health_check_interval": 0'), ["2:26 settings.health_check_interval: 0 is below 0.01"]),
    "7 negative": (
        with_settings('"health_check_interval": -1'),
        ["2:26 settings.health_check_interval: -1 is below 0.01"],
    ),
    "7 tiny": (
        with_settings('"health_check_interval": 1e-9'),
        ["2:26 settings.health_check_interval: 1e-09 is below 0.01"],
    ),
    "7 tiny probe": (
        with_settings('"suspended_probe_interval": 1e-9'),
        ["2:29 settings.suspended_probe_interval: 1e-09: neither 0 nor at least 0.01"],
    ),
    "7 huge": (
        with_settings('"health_check_interval": 1e12'),
        ["2:26 settings.health_check_interval: 1000000000000.0 is above 86400"],
    ),
    "7 true": (
        with_settings('"health_check_interval": true'),
        ["2:26 settings.health_check_interval: true is a boolean, a number is expected"],
    ),
    "7 text": (
        with_settings('"health_check_interval": "5"'),
        ["2:26 settings.health_check_interval: '5' is text, a number is expected"],
    ),
    "7 null": (
        with_settings('"health_check_interval": null'),
        ["2:26 settings.health_check_interval: this is null, a number is expected"],
    ),
    "7 number for a boolean": (
        with_settings('"auto_reconnect": 1'),
        ["2:19 settings.auto_reconnect: 1 is a number, true or false is expected"],
    ),
    "8 multiplier 0": (
        with_settings('"reconnect_delay_multiplier": 0'),
        ["2:31 settings.reconnect_delay_multiplier: 0 is below 1"],
    ),
    "8 multiplier 0.5": (
        with_settings('"reconnect_delay_multiplier": 0.5'),
        ["2:31 settings.reconnect_delay_multiplier: 0.5 is below 1"],
    ),
    "8 multiplier above": (
        with_settings('"reconnect_delay_multiplier": 1e7'),
        ["2:31 settings.reconnect_delay_multiplier: 10000000.0 is above 1000000"],
    ),
    "9 jitter -0.1": (with_settings('"reconnect_jitter": -0.1'), ["2:21 settings.reconnect_jitter: -0.1 is below 0"]),
    "9 jitter 1.0": (with_settings('"reconnect_jitter": 1.0'), ["2:21 settings.reconnect_jitter: 1.0 is not below 1"]),
    "9 jitter 2": (with_settings('"reconnect_jitter": 2'), ["2:21 settings.reconnect_jitter: 2 is not below 1"]),
    "10 cap below base": (
        with_settings('"reconnect_delay_initial": 5,\n"reconnect_delay_max": 2'),
        ["3:24 settings.reconnect_delay_max: reconnect_delay_max (2) is below reconnect_delay_initial (5)"],
    ),
    "10 base above the cap of the file": (
        (
            '{"settings": {"reconnect_delay_max": 7},\n"connections": {"a": {"type": "tcp", "config": {"host": "h"},\n'
            '"settings": {"reconnect_delay_initial": 8}}}}'
        ),
        [
            (
                "3:41 connections.a.settings.reconnect_delay_initial: reconnect_delay_max (7) is below "
                "reconnect_delay_initial (8)"
            )
        ],
    ),
    "11 attempts -1": (
        with_settings('"reconnect_max_attempts": -1'),
        ["2:27 settings.reconnect_max_attempts: -1 is below 0"],
    ),
    "11 attempts 2^63": (
        with_settings('"reconnect_max_attempts": 9223372036854775808'),
        ["2:27 settings.reconnect_max_attempts: 9223372036854775808 is above 1000000"],
    ),
    "11 attempts 1.5": (
        with_settings('"reconnect_max_attempts": 1.5'),
        ["2:27 settings.reconnect_max_attempts: 1.5 is not a whole number"],
    ),
    "12 id twice": (
        '{"connections": {\n"a": {"type": "custom_tcp"},\n"a": {"type": "custom_tcp"}}}',
        ["3:1 connections.a: this key is already given at 2:1; one of them has to go"],
    ),
    "13 depth": ("[" * 100_000, ["1:65: nested more than 64 deep; nothing here needs that much"]),
    "13 depth within Python's limit": (
        one("[" * 70 + "]" * 70),
        ["2:94: nested more than 64 deep; nothing here needs that much"],
    ),
    "15 unknown key at the top": (
        '{"conections": {},\n"connections": {}}',
        ['1:2 conections: unknown key; did you mean "connections"?'],
    ),
    "15 unknown key of the file's settings": (
        with_settings('"helth_check_interval": 5'),
        ['2:1 settings.helth_check_interval: unknown key; did you mean "health_check_interval"?'],
    ),
    "15 unknown key of a connection": (
        one('{"host": "h"}', ', "enable": true'),
        ['2:48 connections.a.enable: unknown key; did you mean "enabled"?'],
    ),
    "15 unknown key of a config": (
        one('{"host": "h", "prot": 5}'),
        ['2:47 connections.a.config.prot: unknown key; did you mean "port"?'],
    ),
    "15 unknown key deeper down": (
        one('{"host": "h", "health_check": {"send": "x", "expect": "x", "Expects": 1}}'),
        ['2:92 connections.a.config.health_check.Expects: unknown key; did you mean "expect"?'],
    ),
    "15 unknown key like nothing": (
        one('{"host": "h", "health_check": {"send": "x", "expect": "x", "q": 1}}'),
        ["2:92 connections.a.config.health_check.q: unknown key; there are expect, send"],
    ),
    "15 limit in the wrong place": (
        one('{"host": "h"}', ', "settings": {"dial_rate": 5}'),
        [
            (
                "2:61 connections.a.settings.dial_rate: this limit is shared by all connections; "
                'it belongs into the "settings" of the file'
            )
        ],
    ),
    "15 key missing": (
        one("{}"),
        ['2:33 connections.a.config.host: required, but missing; add "host": Name or address of the device.'],
    ),
    "15 type missing": (
        '{"connections": {"a": {}}}',
        [
            (
                '1:23 connections.a.type: required, but missing; add "type": Connection type, such as `tcp` or `s7`: '
                "which plugin speaks to the device."
            )
        ],
    ),
    "16 type misspelt": (
        one("{}", kind="custom-tcp"),
        ["2:16 connections.a.type: no connection type 'custom-tcp' is known; did you mean \"custom_tcp\"?"],
    ),
    "16 type os:system": (
        one("{}", kind="os:system"),
        [f"2:16 connections.a.type: no connection type 'os:system' is known; {CHOICE}"],
    ),
    "16 type ..evil": (
        one("{}", kind="..evil"),
        [f"2:16 connections.a.type: no connection type '..evil' is known; {CHOICE}"],
    ),
    "16 type is a number": (
        '{"connections": {"a": {"type": 5}}}',
        ["1:32 connections.a.type: 5 is a number, text is expected"],
    ),
    "17 secret nowhere": (
        one('{"host": "h", "password": {"$file": "/nowhere/at/all"}}'),
        ["2:59 connections.a.config.password: cannot read /nowhere/at/all: there is no such file; check the path"],
    ),
    "17 secret in a device": (
        one('{"host": "h", "password": {"$file": "/dev/zero"}}'),
        ["2:59 connections.a.config.password: cannot read /dev/zero: it is a device; a regular file is expected"],
    ),
    "17 the whole config": (
        one('{"$file": "x"}'),
        [
            (
                "2:33 connections.a.config: a secret reference stands for one text, not for the whole config; "
                "put it where the text belongs"
            )
        ],
    ),
    "18 host": (
        one('{"host": "h:102"}'),
        ["2:42 connections.a.config.host: 'h:102': a host and a port in one; the port has a key of its own"],
    ),
    "19 port 0": (one('{"host": "h", "port": 0}'), ["2:55 connections.a.config.port: 0 is below 1"]),
    "19 port 65536": (one('{"host": "h", "port": 65536}'), ["2:55 connections.a.config.port: 65536 is above 65535"]),
    "19 port -1": (one('{"host": "h", "port": -1}'), ["2:55 connections.a.config.port: -1 is below 1"]),
    "19 port 1.5": (
        one('{"host": "h", "port": 1.5}'),
        ["2:55 connections.a.config.port: 1.5 is not a whole number"],
    ),
    "19 rack is text": (
        one('{"host": "h", "rack": "0"}'),
        ["2:55 connections.a.config.rack: '0' is text, a whole number is expected"],
    ),
    "24 decimal comma": (
        with_settings('"stable_after": 1,5'),
        ["2:18: a comma inside a number, or a key is missing; write 1.5, not 1,5"],
    ),
    "24 trailing comma": ('{"connections": {\r\n},}', ["2:2: a comma with nothing after it; delete the comma"]),
    "24 comment": ('{\n// mine\n"connections": {}}', ["2:1: JSON has no comments; delete it"]),
    "choice": (
        one('{"host": "h", "parity": "evn"}'),
        ["2:57 connections.a.config.parity: 'evn' is not one of 'none' or 'even'"],
    ),
    "list item": (
        one('{"host": "h", "units": [1, "2"]}'),
        ["2:60 connections.a.config.units[1]: '2' is text, a whole number is expected"],
    ),
    "one of several models": (
        one('{"framing": {"by": "length",\n"size": 0, "ende": 1}}', kind="framed"),
        [
            "3:9 connections.a.config.framing.size: 0 is below 1",
            '3:12 connections.a.config.framing.ende: unknown key; did you mean "end"?',
        ],
    ),
    "none of several models": (
        one('{"framing": {"by": "size"}}', kind="framed"),
        ["2:55 connections.a.config.framing.by: 'size' is not one of 'line', 'length'"],
    ),
    "no model chosen": (
        one('{"framing": {"size": 1}}', kind="framed"),
        ['2:48 connections.a.config.framing.by: required, but missing; add "by"'],
    ),
    "auto_reconnect": (
        one('{"host": "h", "auto_reconnect": "yes"}'),
        ["2:65 connections.a.config.auto_reconnect: this is text, true or false is expected"],
    ),
    "a validator that breaks": (
        one('{"number": 5}', kind="broken"),
        [
            (
                "2:36 connections.a.config: the plugin's check of its options failed (ZeroDivisionError); "
                "report it to the plugin's author"
            )
        ],
    ),
}


@pytest.mark.parametrize("case", CORPUS)
def test_a_bad_configuration_is_told_with_place_and_remedy(case: str) -> None:
    """Exactly these words, and nothing besides."""
    text, expected = CORPUS[case]
    assert problems(text) == [f"f.json:{line}" for line in expected]


@pytest.mark.parametrize(
    "name", ["../x", "/", "a b", "x" * 10_000, "\N{PILE OF POO}", "__proto__", "\u202ea", "", ".", "-a"]
)
def test_an_id_is_made_of_few_characters(name: str) -> None:
    """It becomes a file name, a URL, an argument; the message shows it cut and escaped."""
    (told,) = problems(one('{"host": "h"}', name=name))
    assert told.startswith("f.json:2:2 connections")
    assert "not the id of a connection; 1 to 64 letters, digits" in told
    assert len(told) < 250
    assert told.replace("\N{PILE OF POO}", "").replace("…", "").isascii()


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\\nb", "a\\u202eb", "a\\u0000", "\\u2028"])
def test_a_name_is_one_visible_line(name: str) -> None:
    """A name cannot rearrange the table it stands in."""
    (told,) = problems(one('{"host": "h"}', f', "name": "{name}"'))
    assert told.startswith("f.json:2:56 connections.a.name: ")
    assert told.isascii() or "…" in told
    assert not problems(one('{"host": "h"}', ', "name": "Prüfstand 4 (Süd) \N{FACTORY}"'))
