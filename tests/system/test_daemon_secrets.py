"""A secret that was planted in the configuration is found nowhere outside of the plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.system.program import QUICK, connmgr, plugin, running, until

CANARY = "kanarie-7f3a9c41d2"
BODY = """
    async def connect(self):
        secret = self.config["password"]
        self.last_error = f"login with {secret} failed"
        self.logger.warning("trying %s", secret, password=secret, url=f"http://me:{secret}@host/")
        print(f"print {secret}\\n", end="", flush=True)  # in one piece: log lines come in between
        if self.connection_id == "bug":
            raise KeyError(secret)
        if self.connection_id == "wrong":
            raise AuthError(f"cannot log in with {secret}")
        if self.connection_id == "nested":
            try:
                raise OSError(f"user me password {secret}")
            except OSError as error:
                raise TransientError(f"cannot log in: {error}") from error
        if self.connection_id == "cut":
            raise TransientError("x" * 490 + secret)
        raise TransientError(f"cannot connect as {secret[:4]}: {secret!r}")
"""


def test_a_secret_is_nowhere(tmp_path: Path) -> None:
    """Not in the log, the API, an event, `why`, a table, a reload's answer or the state directory."""
    folder = plugin(tmp_path / "plugins", "odd", BODY)
    file = tmp_path / "token"
    file.write_text(CANARY + "\n")
    config: dict[str, Any] = {
        name: {"type": "odd", "config": {"password": {"$env": "CANARY"}}} for name in ("bug", "wrong", "nested", "cut")
    }
    config["file"] = {"type": "odd", "config": {"password": {"$file": str(file)}}}
    config["inline"] = {"type": "odd", "config": {"password": CANARY}}
    arguments = ("--plugins", folder, "--log-level", "debug", "--log-format", "json")
    with running(tmp_path, config, *arguments, settings=QUICK | {"reconnect_max_attempts": 2}, CANARY=CANARY) as daemon:
        for name in config:
            daemon.wait_for(name, "suspended")
        said = [json.dumps(daemon.get(path)) for path in ("/api/v1/connections", "/api/v1/status", "/api/v1/events")]
        said += [json.dumps(daemon.get(f"/api/v1/connections/{name}")) for name in config]
        for command in (["status"], ["status", "--json"], ["events"], *(["why", name] for name in config)):
            found = connmgr(*command, "--socket", daemon.socket)
            assert found.returncode == 0
            said += [found.stdout, found.stderr]
        daemon.configure(
            config | {"inline": {"type": "odd", "config": {"password": CANARY, "extra": 1}}, "x": {"type": CANARY}}
        )
        found = connmgr("reload", "--socket", daemon.socket)
        assert found.returncode == 78
        said += [found.stdout, found.stderr]
        until(lambda: "nothing changed" in daemon.log, "the log has it too")
        assert daemon.stop() == 0
    said.append(daemon.log.replace(f"print {CANARY}", ""))  # a plugin's own print() is not ours to read
    said += [path.read_text() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    said += [str(path) for path in (tmp_path / "state").rglob("*")]
    leaks = [text for text in said if CANARY in text or CANARY[:10] in text]
    assert not leaks, leaks[0]
    assert any("***" in text for text in said)
