"""Where connection types come from: registered by call, installed packages, and `.py` files in a plugin folder.

A type's code is imported when a configuration first asks for it, in a thread with a deadline, and whatever goes wrong
there concerns that type alone.
"""

import importlib.util
import inspect
import os
import stat
import sys
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from pydantic import BaseModel

from connmgr.calls import CallThread
from connmgr.connection import BaseConnection
from connmgr.errors import RegistrationError, describe

ConnectionClass = type[BaseConnection[Any]]

GROUP = "connmgr.connections"
SIMULATORS = "connmgr.simulators"
IMPORT_DEADLINE = 30.0  # seconds; heavy scientific packages take ten on a small edge box
METHODS = ("connect", "disconnect", "is_connected", "health_check")


@dataclass(frozen=True, slots=True)
class Claim:
    """Who brings a type, and how to get at its class."""

    name: str
    origin: str
    get: Callable[[], Any]


class _ClashError(RegistrationError):
    """Two claims on one name."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Registry:
    """Connection types by name."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}
        self._classes: dict[str, ConnectionClass] = {}
        self._failures: dict[str, str] = {}  # of types: nobody gets them
        self._broken_files: dict[str, str] = {}  # by the file's name, which may be another's type
        self._scanned = False

    def register(self, name: str, connection_class: ConnectionClass, origin: str | None = None) -> None:
        """Make a class usable under a type name. The same class again is no clash.

        Raises:
            RegistrationError: the name is taken, or the class does not keep the contract's form.
        """
        _checked(name, connection_class)
        if self._classes.get(name) is connection_class:
            return
        self._claim(Claim(name, origin or _home_of(connection_class), lambda: connection_class))
        self._classes[name] = connection_class

    def add_folder(self, folder: Path, initialize: Callable[[ModuleType], None]) -> None:
        """Import every `.py` file of a plugin folder, in the order of their names.

        A module with `initialize(app_context)` registers its types there; one without brings its single connection
        class under the name of the file. A file that fails concerns nobody else: see `failures`.

        Args:
            folder: named by the operator.
            initialize: called with each module that has an `initialize` function.

        Raises:
            RegistrationError: there is no such folder, or everybody may write to it.
        """
        if not folder.is_dir():
            raise RegistrationError(f"cannot load plugins from {folder}: there is no such folder")
        _refuse_if_others_may_write(folder)
        for path in sorted(folder.glob("*.py")):
            if path.name.startswith("_"):
                continue
            try:
                self._add_file(path, initialize)
            except _ClashError as error:
                self._failures[error.name] = str(error)
            except RegistrationError as error:
                self._broken_files[path.stem] = str(error)

    @property
    def failures(self) -> dict[str, str]:
        """What could not be loaded: type (or file) name to reason."""
        return self._broken_files | self._failures

    def names(self) -> list[str]:
        """Every known type name, sorted; imports nothing."""
        self._scan()
        return sorted({*self._claims, *self._failures, *self._broken_files})

    def origin(self, name: str) -> str | None:
        """Who brings a type: a distribution, a file, or the module that registered it."""
        self._scan()
        claim = self._claims.get(name)
        return claim.origin if claim is not None else None

    def get(self, name: str) -> ConnectionClass | None:
        """The class of a type, imported now if need be; None when nobody brings it.

        Raises:
            RegistrationError: it is known but cannot be had; or it is unknown, and there are files that are broken.
        """
        if name in self._classes and name not in self._failures:
            return self._classes[name]
        self._scan()
        claim = self._claims.get(name)
        if name in self._failures:
            raise RegistrationError(self._failures[name])
        if claim is None:
            self._raise_if_a_broken_file_may_bring(name)
            return None
        try:
            found = _guarded(
                f"import the connection type {name!r} from {claim.origin}", lambda: _checked(name, claim.get())
            )
        except RegistrationError as error:
            self._failures[name] = str(error)
            raise
        self._classes[name] = found
        return self._classes[name]

    def _raise_if_a_broken_file_may_bring(self, name: str) -> None:
        """Which types a broken file would have registered, nobody knows: to name one is no error in a configuration."""
        if name in self._broken_files:
            raise RegistrationError(self._broken_files[name])
        if self._broken_files:
            reasons = "; ".join(self._broken_files.values())
            raise RegistrationError(f"cannot use the connection type {name!r}: nobody brings it, but {reasons}")

    def _claim(self, claim: Claim) -> None:
        self._scan()
        other = self._claims.get(claim.name)
        if other is not None:
            raise _ClashError(
                claim.name,
                f"cannot register the connection type {claim.name!r}: claimed by {other.origin} and by {claim.origin};"
                " remove or rename one of them",
            )
        self._claims[claim.name] = claim

    def _scan(self) -> None:
        """Read the installed packages' entry points, once. Two claims on one name make it unusable."""
        if self._scanned:
            return
        self._scanned = True
        for entry in entry_points(group=GROUP):
            origin = _distribution(entry)
            other = self._claims.get(entry.name)
            if other is not None and other.origin != origin:
                self._failures[entry.name] = (
                    f"cannot use the connection type {entry.name!r}: claimed by {other.origin} and by {origin};"
                    " uninstall one of them"
                )
            else:
                self._claims[entry.name] = Claim(entry.name, origin, entry.load)

    def _add_file(self, path: Path, initialize: Callable[[ModuleType], None]) -> None:
        _refuse_if_others_may_write(path)
        module = _guarded(f"import the plugin file {path}", lambda: _import_file(path))
        function = getattr(module, "initialize", None)
        if inspect.iscoroutinefunction(function):
            raise RegistrationError(f"cannot use the plugin file {path}: initialize() has to be plain, not async")
        if callable(function):
            _guarded(f"initialize the plugin file {path}", lambda: initialize(module))
            return
        classes = _own_classes(module)
        if len(classes) != 1:
            which = f" ({', '.join(each.__name__ for each in classes)})" if classes else ""
            raise RegistrationError(
                f"cannot use the plugin file {path}: it has {len(classes)} connection classes{which}; have one, or an"
                " initialize(app_context) that calls register_connection_type()"
            )
        self.register(path.stem, classes[0], str(path))


def simulators() -> dict[str, EntryPoint]:
    """The installed simulators by type name; loading one imports its plugin."""
    return {entry.name: entry for entry in entry_points(group=SIMULATORS)}


def _guarded(what: str, function: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the function returns
    """Run plugin code that is no connection call: any exception, `SystemExit` too, becomes a RegistrationError."""
    thread = CallThread(f"connmgr.import[{what[:40]}]")
    future = thread.submit(function)
    thread.shutdown(wait=False)
    wait([future], IMPORT_DEADLINE)  # Ctrl-C gets through here; what the plugin raises stays in the future
    if not future.done():
        raise RegistrationError(f"cannot {what}: it takes longer than {IMPORT_DEADLINE:g} s")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, RegistrationError):
        raise error
    raise RegistrationError(f"cannot {what}: {describe(error)}") from error


class _FromSource(SourceFileLoader):
    """Compiles the file itself: what lies in a `__pycache__` may be somebody else's."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _import_file(path: Path) -> ModuleType:
    # A name of its own, and the folder not on sys.path: a plugin called json.py must not shadow anything.
    name = f"connmgr_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    if spec is None or spec.loader is None:
        raise RegistrationError(f"cannot import the plugin file {path}: it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _own_classes(module: ModuleType) -> list[ConnectionClass]:
    """The connection classes that a module defines; abstract ones only when there is no other."""
    found = {
        value: None  # a dict, because one class may have several names
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseConnection) and value.__module__ == module.__name__
    }
    return [value for value in found if not inspect.isabstract(value)] or list(found)


def _checked(name: str, found: object) -> ConnectionClass:
    what = f"cannot use the connection type {name!r}"
    if not isinstance(found, type) or not issubclass(found, BaseConnection):
        raise RegistrationError(f"{what}: {found!r:.80} is not a subclass of BaseConnection")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise RegistrationError(f"{what}: {found.__name__} does not implement {', '.join(missing)}")
    for method in METHODS:
        try:
            inspect.signature(getattr(found, method)).bind(None)
        except TypeError:
            raise RegistrationError(
                f"{what}: {found.__name__}.{method}() has to be callable without arguments"
            ) from None
    if inspect.iscoroutinefunction(found.is_connected):
        raise RegistrationError(f"{what}: {found.__name__}.is_connected() has to be plain, not async")
    model = found.options_model
    if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise RegistrationError(f"{what}: {found.__name__}.options_model has to be a pydantic model, or None")
    return found


def _refuse_if_others_may_write(path: Path) -> None:
    try:
        found = path.stat()
    except OSError as error:
        raise RegistrationError(f"cannot load plugins from {path}: {describe(error)}") from None
    what = f"cannot load plugins from {path}"
    if found.st_mode & stat.S_IWOTH:  # the sticky bit of a folder is no help: everybody may still add a file
        raise RegistrationError(f"{what}: everybody may write to it; chmod o-w {path}")
    if found.st_uid not in (0, os.geteuid()):
        raise RegistrationError(f"{what}: it belongs to another user; chown root {path}")
    if found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid()):
        raise RegistrationError(f"{what}: a group that is not ours may write to it; chmod g-w {path}")


def _home_of(connection_class: ConnectionClass) -> str:
    return f"{connection_class.__module__}.{connection_class.__qualname__}"


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value
