"""Where connection types come from: calls, plugin folders, installed packages; and what goes wrong there."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connmgr import BaseConnection, ConnectionManager, ConnectionStatus, RegistrationError, registry
from connmgr.registry import Registry

SCALE = """
from connmgr import BaseConnection

class Scale(BaseConnection):
    async def connect(self): return True
    async def disconnect(self): return True
    def is_connected(self): return True
    async def health_check(self): return True
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files of a plugin folder, as `name="content"`."""
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)

    def write(**files: str) -> Path:
        for name, content in files.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(content))
        return folder

    return write


@pytest.fixture(autouse=True)
def forget_plugins() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("connmgr_plugin_", "acme")):
            del sys.modules[name]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, dict[str, str]], None]:
    """Installs a distribution with one module and entry points, the way a package manager leaves it behind."""

    def install(distribution: str, code: str, points: dict[str, str]) -> None:
        site = tmp_path / distribution
        info = site / f"{distribution}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = [f"{name} = {target}" for name, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[connmgr.connections]", *lines]) + "\n")
        (site / f"{distribution}.py").write_text(code)
        monkeypatch.syspath_prepend(site)

    return install


def loaded(folder: Path) -> ConnectionManager:
    manager = ConnectionManager()
    manager.add_plugin_folder(folder)
    return manager


def reason(found: Registry, name: str) -> str:
    with pytest.raises(RegistrationError) as caught:
        found.get(name)
    return str(caught.value)


# --- plugin folders


def test_a_file_brings_its_class_under_its_own_name(write: Write) -> None:
    """One connection class, no `initialize`: the file's name is the type, and the origin is the file."""
    folder = write(scale=SCALE, _private="raise RuntimeError", notes="")
    (folder / "scale.txt").write_text("no Python")
    found = loaded(folder).registry
    assert (scale := found.get("scale")) is not None
    assert scale.__name__ == "Scale"
    assert found.origin("scale") == str(folder / "scale.py")
    assert "scale" in found.names()
    assert list(found.failures) == ["notes"]
    assert "it has 0 connection classes; have one, or an initialize(app_context)" in found.failures["notes"]


def test_initialize_registers_what_it_likes(write: Write) -> None:
    """`initialize(app_context)` gets the manager as module and registers any number of types under any names."""
    snippet = """
        def initialize(app_context):
            conn_mgr = app_context.module_manager.get_module('connection_manager')
            assert conn_mgr is app_context.manager
            assert app_context.module_manager.get_module('lights') is None
            conn_mgr.register_connection_type('scale_a', Scale)
            conn_mgr.register_connection_type('scale_b', Scale)
        """
    found = loaded(write(scales=SCALE + textwrap.dedent(snippet))).registry
    assert found.failures == {}
    assert found.get("scale_a") is found.get("scale_b") is not None
    assert found.get("scales") is None


def test_one_class_with_a_base_and_two_names(write: Write) -> None:
    """Abstract classes of the file's own, imported ones and second names do not count."""
    code = """
        from connmgr import BaseConnection
        from connmgr_tcp import TcpConnection

        class Line(BaseConnection):
            async def connect(self): return True
            async def disconnect(self): return True
            def is_connected(self): return True

        class Scale(Line):
            async def health_check(self): return True

        Balance = Scale
        """
    found = loaded(write(balance=code)).registry
    assert found.failures == {}
    assert (balance := found.get("balance")) is not None
    assert balance.__name__ == "Scale"


def test_a_file_shadows_nothing(write: Write) -> None:
    """A plugin file called like a module of the standard library, or like one of ours, replaces neither."""
    folder = write(json=SCALE, connmgr=SCALE, asyncio=SCALE)
    found = loaded(folder).registry
    assert found.failures == {}
    assert sys.modules["json"] is json
    assert sys.modules["asyncio"] is asyncio
    assert str(folder) not in sys.path
    assert all(found.get(name) for name in ("json", "connmgr", "asyncio"))


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o1777], ids=oct)
def test_a_folder_that_everybody_may_write_to(write: Write, mode: int) -> None:
    """It is refused as a whole, sticky or not: whoever can add a file there would run as the daemon."""
    folder = write(scale=SCALE)
    folder.chmod(mode)
    with pytest.raises(RegistrationError, match=f"{folder}: everybody may write to it; chmod o-w {folder}"):
        loaded(folder)


def test_a_file_that_everybody_may_write_to(write: Write) -> None:
    """It is left out, the others are not."""
    folder = write(scale=SCALE, meter=SCALE)
    (folder / "scale.py").chmod(0o666)
    found = loaded(folder).registry
    assert "everybody may write to it; chmod o-w" in reason(found, "scale")
    assert found.get("meter")


def test_no_folder(tmp_path: Path) -> None:
    """A folder that does not exist, or is a file, is an error that names it."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(RegistrationError, match=f"cannot load plugins from {path}: there is no such folder"):
            loaded(path)


# --- hostile modules

HOSTILE = {
    "raises": ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    "exits": ("import sys; sys.exit(0)", "SystemExit: 0"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "generator_exit": ("raise GeneratorExit", "GeneratorExit"),
    "syntax": ("def f(:", "SyntaxError"),
    "not_python": ("\0\0", "null bytes"),
    "missing_library": ("import no_such_library", "No module named 'no_such_library'"),
    "unspeakable": ("class E(Exception):\n  def __str__(self): raise OSError\nraise E", "its text cannot be read"),
    "endless_text": ("raise ValueError('x' * 10**6)", "xxx"),
    "forgets_itself": ("import sys; del sys.modules[__name__]; raise ValueError('gone')", "ValueError: gone"),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
    "initialize_raises": ("def initialize(app_context): raise ValueError('later')", "initialize the plugin file"),
    "initialize_exits": ("import sys\ndef initialize(app_context): sys.exit(3)", "SystemExit: 3"),
    "initialize_async": ("async def initialize(app_context): ...", "initialize() has to be plain, not async"),
    "initialize_takes_nothing": ("def initialize(): ...", "TypeError"),
    "two_classes": (SCALE + "class Meter(Scale): ...", "it has 2 connection classes"),
    "abstract": (SCALE.replace("connect(", "open("), "Scale does not implement connect, disconnect"),
    "wrong_signature": (SCALE.replace("health_check(self)", "health_check(self, deep)"), "callable without arguments"),
    "async_is_connected": (SCALE.replace("def is_c", "async def is_c"), "is_connected() has to be plain, not async"),
    "wrong_options": (SCALE + "    options_model = {'host': str}", "options_model has to be a pydantic model"),
    "not_a_connection": (
        "def initialize(app):\n  app.manager.register_connection_type('not_a_connection', dict)",
        "<class 'dict'> is not a subclass of BaseConnection",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_hurts_itself_alone(write: Write, name: str) -> None:
    """Its type says why it cannot be had, in one bounded line; the file beside it works."""
    code, expected = HOSTILE[name]
    found = loaded(write(**{name: code}, zz_scale=SCALE)).registry
    assert list(found.failures) == [name]
    message = reason(found, name)
    assert message.startswith("cannot ")
    assert expected in message
    assert "\n" not in message
    assert len(message) < 800
    assert found.get("zz_scale")


@pytest.mark.leaves_behind("a thread in which an import hangs cannot be ended")
@pytest.mark.parametrize("code", ["import time; time.sleep(2)", "def initialize(app):\n  import time; time.sleep(2)"])
def test_a_file_that_takes_for_ever(write: Write, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """It is given up at the deadline; what it says later changes nothing."""
    monkeypatch.setattr(registry, "IMPORT_DEADLINE", 0.1)
    found = loaded(write(slow=code, zz_scale=SCALE)).registry
    assert "it takes longer than 0.1 s" in reason(found, "slow")
    assert found.get("zz_scale")


def test_imports_have_a_thread_of_their_own(write: Write) -> None:
    """A plugin file never runs in the caller's thread; what is left of it ends by itself."""
    code = "import threading\nNAME = threading.current_thread().name\n" + SCALE
    loaded(write(scale=code))
    assert sys.modules["connmgr_plugin_scale"].NAME.startswith("connmgr.import[")


def test_a_broken_file_does_not_take_an_installed_type_away(write: Write) -> None:
    """`tcp.py` in the folder cannot be imported: the installed `tcp` goes on."""
    found = loaded(write(tcp="raise RuntimeError('mine')")).registry
    assert (tcp := found.get("tcp")) is not None
    assert tcp.__module__.startswith("connmgr_tcp")
    assert "mine" in found.failures["tcp"]


def test_a_type_that_a_broken_file_may_have_brought(write: Write, tmp_path: Path) -> None:
    """The configuration that names it stays valid, and says which file to look at; strictly it is an error."""
    folder = write(acme="raise RuntimeError('licence expired')")
    manager = loaded(folder)
    path = tmp_path / "connections.json"
    path.write_text(json.dumps({"connections": {"x": {"type": "acme_scale"}}}))
    assert list(manager.read(path).connections) == ["x"]
    with pytest.raises(Exception, match="licence expired"):
        manager.read(path, strict=True)
    assert Registry().get("acme_scale") is None


# --- installed packages


def test_an_installed_package(install: Callable[..., None]) -> None:
    """An entry point is a type; its code is imported when somebody asks for the type, and not before."""
    install("acme_scale", SCALE, {"acme": "acme_scale:Scale"})
    found = Registry()
    assert {"acme", "http", "modbus", "s7", "serial", "tcp"} <= set(found.names())
    assert found.origin("acme") == "acme_scale 1.2"
    assert "acme_scale" not in sys.modules
    assert (scale := found.get("acme")) is not None
    assert scale.__module__ == "acme_scale"


def test_two_packages_claim_one_type(install: Callable[..., None]) -> None:
    """Nobody gets it, and the error names both."""
    install("acme_one", SCALE, {"acme": "acme_one:Scale"})
    install("acme_two", SCALE, {"acme": "acme_two:Scale", "two": "acme_two:Scale"})
    found = Registry()
    message = reason(found, "acme")
    assert "acme_one 1.2" in message
    assert "acme_two 1.2" in message
    assert "uninstall one of them" in message
    assert found.get("two")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("acme_bad:Missing", "AttributeError"),
        ("acme_nowhere:Scale", "No module named 'acme_nowhere'"),
        ("os:system", "is not a subclass of BaseConnection"),
        ("acme_bad", "<module 'acme_bad'"),
        ("acme_bad:Scale.connect", "is not a subclass of BaseConnection"),
        ("acme_bad:UNSPEAKABLE", "RuntimeError: no words"),
        ("..evil:Scale", "cannot import the connection type 'acme' from acme_bad 1.2"),
    ],
)
def test_a_bad_entry_point(install: Callable[..., None], target: str, expected: str) -> None:
    """Its type alone cannot be had, and says so each time it is asked for."""
    unspeakable = "class U:\n  def __repr__(self): raise RuntimeError('no words')\nUNSPEAKABLE = U()\n"
    install("acme_bad", SCALE + unspeakable, {"acme": target})
    found = Registry()
    assert expected in reason(found, "acme")
    assert reason(found, "acme") == found.failures["acme"]
    assert found.get("tcp")


def test_a_call_claims_an_installed_type() -> None:
    """Registering under the name of an installed type is refused, and names both."""
    manager = ConnectionManager()
    with pytest.raises(RegistrationError) as caught:
        manager.register_connection_type("tcp", Quiet)
    assert "'tcp': claimed by connmgr " in str(caught.value)
    assert "Quiet" in str(caught.value)
    manager.register_connection_type("quiet", Quiet)
    manager.register_connection_type("quiet", Quiet)  # the same again is no clash


@pytest.mark.parametrize("with_initialize", [False, True])
def test_a_file_claims_an_installed_type(write: Write, with_initialize: bool) -> None:
    """Nobody gets the type: which of the two was meant, only the operator knows."""
    function = "\ndef initialize(app): app.manager.register_connection_type('tcp', Scale)\n"
    folder = write(**({"mine": SCALE + function} if with_initialize else {"tcp": SCALE}))
    message = reason(loaded(folder).registry, "tcp")
    assert "claimed by connmgr " in message
    assert "remove or rename one of them" in message
    assert ("connmgr_plugin_mine.Scale" if with_initialize else str(folder / "tcp.py")) in message


class Quiet(BaseConnection):
    """Keeps the contract's form, no more."""

    async def connect(self) -> bool:
        return True

    async def disconnect(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return True

    async def health_check(self) -> bool:
        return True


# --- what becomes of connections of such a type


async def test_connections_of_a_type_that_cannot_be_had(write: Write, tmp_path: Path) -> None:
    """They stand in the status, suspended, with the reason; the others run."""
    folder = write(broken="raise RuntimeError('no licence')", scale=SCALE, constructor=CONSTRUCTOR, lazy=LAZY)
    path = tmp_path / "connections.json"
    kinds = ("broken", "scale", "constructor", "lazy")
    path.write_text(json.dumps({"connections": {kind: {"type": kind} for kind in kinds}}))
    async with ConnectionManager() as manager:
        await asyncio.to_thread(manager.add_plugin_folder, folder)
        await manager.load(path)
        async with asyncio.timeout(5):
            while {manager.connections[kind].status for kind in kinds} & {
                ConnectionStatus.DISCONNECTED,
                ConnectionStatus.CONNECTING,
            }:
                await asyncio.sleep(0.01)
        assert manager.describe("scale")["status"] == "connected"
        why = {kind: manager.describe(kind)["suspended_because"] for kind in kinds if kind != "scale"}
        assert "RuntimeError: no licence" in why["broken"]
        assert why["constructor"] == "cannot construct constructor: KeyError: 'host'"
        assert "did it call super().__init__()?" in why["lazy"]


CONSTRUCTOR = (
    SCALE
    + """
    def __init__(self, connection_id, config, app_context):
        super().__init__(connection_id, config, app_context)
        self.host = config["host"]
"""
)
LAZY = SCALE + "    def __init__(self, *arguments): pass\n"
