"""Secret references, and hiding secrets."""

import json
import os
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connmgr.secrets import Redactor, hide_url_passwords, looks_secret, resolve


def _failure(reference: object, directory: Path) -> str:
    resolution = resolve({"x": [reference]}, directory)
    assert resolution.value == {"x": [None]}
    assert not resolution.resolved
    error = resolution.failed[("x", 0)]
    return f"{error.message}; {error.remedy}"


def test_references_are_replaced_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment, files (absolute, relative, through links) and credentials; the original stays as it was."""
    monkeypatch.setenv("PLC_PASSWORD", "from env")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "token").write_text("from file\r\n\n", newline="")
    (tmp_path / "link").symlink_to("token")
    (tmp_path / "cred").write_text("from systemd\n")
    raw = {
        "a": {"$env": "PLC_PASSWORD"},
        "b": [{"c": {"$file": str(tmp_path / "token")}}, {"$file": "link"}],
        "d": {"$credential": "cred"},
        "e": 1,
    }
    before = json.dumps(raw)
    resolution = resolve(raw, tmp_path)
    assert resolution.value == {
        "a": "from env", "b": [{"c": "from file\r\n"}, "from file\r\n"], "d": "from systemd", "e": 1
    }  # fmt: skip
    assert resolution.resolved == {("a",), ("b", 0, "c"), ("b", 1), ("d",)}
    assert not resolution.failed
    assert json.dumps(raw) == before


BAD_REFERENCES = [
    ({"$env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE is not set"),
    ({"$env": "EMPTY"}, "EMPTY is empty"),
    ({"$env": "BYTES"}, "BYTES is not UTF-8"),
    ({"$env": "A=B"}, "not the name of an environment variable"),
    ({"$env": ""}, "$env needs a name"),
    ({"$env": 5}, "$env needs a name"),
    ({"$file": "missing"}, "missing: there is no such file"),
    ({"$file": "directory"}, "it is a directory"),
    ({"$file": "fifo"}, "it is a pipe"),
    ({"$file": "socket"}, "it is a socket"),
    ({"$file": "/dev/zero"}, "it is a device"),
    ({"$file": "to_device"}, "it is a device"),
    ({"$file": "loop"}, "symbolic links"),
    ({"$file": "huge"}, "larger than 64 KiB"),
    ({"$file": "binary"}, "not UTF-8 text"),
    ({"$file": "empty"}, "it is empty"),
    ({"$file": "newline"}, "it is empty"),
    ({"$file": "open_to_all"}, "everybody on this machine can change it; chmod o-w"),
    ({"$file": "a\0b"}, "null"),
    ({"$file": "x" * 5000}, "name too long"),
    ({"$credential": "absent"}, "add LoadCredential=absent:"),
    ({"$credential": "../huge"}, "not the name of a credential"),
    ({"$credential": ".."}, "not the name of a credential"),
    ({"$envv": "X"}, "this kind of secret reference does not exist; there are $env, $file, $credential"),
    ({"$env": "X", "y": 1}, "one key and no other"),
]


@pytest.mark.parametrize(("reference", "expected"), BAD_REFERENCES, ids=lambda value: str(value)[:40])
def test_a_reference_that_leads_nowhere_says_why(
    reference: object, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once (a pipe nobody writes to is never opened), and without a word of what is in the file."""
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setitem(os.environb, b"BYTES", b"\xff")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "to_device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(1 << 30)
    (tmp_path / "binary").write_bytes(b"hunter2\xff")
    (tmp_path / "empty").touch()
    (tmp_path / "newline").write_text("\n")
    (tmp_path / "open_to_all").write_text("hunter2")
    (tmp_path / "open_to_all").chmod(0o666)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        told = _failure(reference, tmp_path)
    assert expected.lower() in told.lower()
    assert "hunter2" not in told


def test_credentials_need_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without LoadCredential= there are none, and the message says so."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "systemd passed no credentials to this process; add LoadCredential=" in _failure(
        {"$credential": "a"}, tmp_path
    )


SECRET_KEYS = ["password", "PASSWORD", "db_password", "api_key", "apiKey", "X-API-Key", "key", "authToken", "apikey"]
SECRET_KEYS += ["client-secret", "Authorization", "credentials", "Cookie", "privateKey"]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_some_keys_say_that_their_value_is_secret(key: str) -> None:
    """Whatever the spelling."""
    assert looks_secret(key)


@pytest.mark.parametrize("key", ["host", "keyboard", "monkey", "key_file", "token_url", "passenger", "author", "", "$"])
def test_other_keys_do_not(key: str) -> None:
    """Words that only contain such a word, or say where the secret is found."""
    assert not looks_secret(key)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:p@h/x", "http://u:***@h/x"),
        ("a mqtt://:p:q@h b http://h:80/", "a mqtt://:***@h b http://h:80/"),
        ("no url: a@b", "no url: a@b"),
    ],
)
def test_passwords_in_urls_are_hidden(text: str, shown: str) -> None:
    """And nothing else of them."""
    assert hide_url_passwords(text) == shown


def test_hiding_url_passwords_is_linear() -> None:
    """Hostile texts of a megabyte take no time worth mentioning."""
    started = time.process_time()
    for text in ("a" * (1 << 20), "://" + ":" * (1 << 20), "://:" * (1 << 18), "x" * (1 << 20) + "://a:b@"):
        hide_url_passwords(text)
    assert time.process_time() - started < 2


def test_a_redactor_hides_what_it_remembers() -> None:
    """Everywhere in a text, also as JSON, repr and URLs write it; short words are left alone."""
    redactor = Redactor()
    assert redactor.scrub("hunter2") == "hunter2"
    redactor.remember(["hunter2", "abc", 'quo"te\\\n', "a b&c/d", "ABCD", "CDEFGH"])
    assert redactor.scrub("x hunter2 y hunter2") == "x *** y ***"
    assert redactor.scrub("abc hunter3") == "abc hunter3"
    assert redactor.scrub(json.dumps({"p": 'quo"te\\\n'})) == '{"p": "***"}'
    assert redactor.scrub(repr({"p": 'quo"te\\\n'})) == "{'p': '***'}"
    assert redactor.scrub("?q=a%20b%26c%2Fd&r=a+b%26c%2Fd") == "?q=***&r=***"
    assert redactor.scrub("ABCDEFGH") == "***", "two secrets that overlap"
    redactor.remember(["hunter2-and-more", "hunt"])
    assert redactor.scrub("hunter2-and-more hunting") == "*** ***ing", "one that starts like another"


def test_a_key_file_is_hidden_line_by_line() -> None:
    """An error may quote one line of it."""
    redactor = Redactor()
    redactor.remember(["-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nx\n"])
    assert redactor.scrub("bad line MIIEvQIBADANBgkqhkiG9w0B") == "bad line ***"
    assert redactor.scrub("x") == "x"


@settings(deadline=None)
@given(
    st.lists(st.text('abc\u00e9"', min_size=4, max_size=8), min_size=1, max_size=5), st.text('abc\u00e9"', max_size=40)
)
def test_nothing_remembered_survives(secrets: list[str], noise: str) -> None:
    """Whatever the secrets and the text around them."""
    redactor = Redactor()
    redactor.remember(secrets)
    scrubbed = redactor.scrub(noise + noise.join(secrets) + noise)
    assert not any(secret in scrubbed for secret in secrets)


def test_many_secrets_cost_little() -> None:
    """A log line with a thousand secrets known costs less than a millisecond."""
    redactor = Redactor()
    redactor.remember(f"secret-{number:x}-{number * 7919:x}" for number in range(1000))
    line = "connection lost: the device did not answer within 5 s; next attempt in 7.5 s, " * 3
    started = time.process_time()
    for _ in range(1000):
        assert redactor.scrub(line) is line
    assert time.process_time() - started < 1
