"""Where records come from that nobody gave to a logger of ours: structlog, the standard library, uncaught errors.

Each function changes something global and returns what puts it back.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from types import ModuleType, TracebackType
from typing import Any, Protocol

Undo = Callable[[], object]


class _Says(Protocol):
    def warning(self, event: object, /, *args: object, **values: object) -> None: ...
    def error(self, event: object, /, *args: object, **values: object) -> None: ...
    def critical(self, event: object, /, *args: object, **values: object) -> None: ...


def take_over_structlog(processors: list[Callable[[Any, str, Any], Any]], make_logger: Callable[..., Any]) -> Undo:
    """Let `structlog.get_logger(name)`, which plugin authors know, give `make_logger(name, context=…, …)`."""
    import structlog  # 120 ms with rich: only whoever configures logging pays for it

    before = structlog.get_config() if structlog.is_configured() else None
    wrapper: Any = make_logger  # structlog only ever calls it
    structlog.configure(
        processors=processors,
        wrapper_class=wrapper,
        logger_factory=lambda *names: str(names[0]) if names else "structlog",
        context_class=dict,
        cache_logger_on_first_use=False,
    )
    return lambda: structlog.configure(**before) if before else structlog.reset_defaults()


class _Bridge(logging.Handler):
    """Takes the records of the standard library's root logger."""

    def __init__(self, take: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._take = take

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record without the handler's lock: one whose rendering sleeps must not make other threads wait."""
        self._take(record)
        return True


def take_over_stdlib(take: Callable[[logging.LogRecord], None], levels: Mapping[str, int]) -> Undo:
    """Give every record that reaches the root logger to `take` alone, and set the levels of loggers by name."""
    root, bridge = logging.getLogger(), _Bridge(take)
    before = {name: logging.getLogger(name).level for name in levels}
    handlers, root.handlers = root.handlers, [bridge]

    def undo() -> None:
        if bridge in root.handlers:
            root.handlers = handlers
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        bridge.close()

    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    return undo


def take_over_hooks(log: _Says) -> Undo:
    """Log errors that nobody caught, and warnings.

    Python writes them to standard error itself: with what secrets they carry, and waiting when nobody reads.
    """

    def at_top(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical("connmgr ended with an error nobody caught", exc_info=error)

    def in_thread(hook: threading.ExceptHookArgs) -> None:
        if hook.exc_type is not SystemExit:
            name = hook.thread.name if hook.thread else "unknown"
            log.error("a thread ended with an error nobody caught", thread=name, exc_info=hook.exc_value)

    def unraisable(hook: sys.UnraisableHookArgs) -> None:
        log.error(hook.err_msg or "an error could not be raised", where=hook.object, exc_info=hook.exc_value)

    def warned(text: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
        log.warning(text, category=category.__name__, where=f"{filename}:{lineno}")

    undo = [
        _replace(sys, "excepthook", at_top),
        _replace(threading, "excepthook", in_thread),
        _replace(sys, "unraisablehook", unraisable),
        _replace(warnings, "showwarning", warned),
    ]
    return lambda: [put_back() for put_back in undo]


def _replace(module: ModuleType, name: str, ours: object) -> Undo:
    before = getattr(module, name)

    def undo() -> None:
        if getattr(module, name) is ours:  # else somebody took over from us meanwhile
            setattr(module, name, before)

    setattr(module, name, ours)
    return undo
