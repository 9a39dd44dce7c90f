"""Contract rules about the configuration, its secrets, and what two connections of one class share."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from connmgr.connection import BaseConnection
from connmgr.testing.driver import ContractViolation, Driver, LeftOut
from connmgr.testing.fault_proxy import FaultProxy
from connmgr.testing.rig import Rig, rig

CANARY = "canary-7d1f0b"
_SECRET_NAMES = re.compile(r"password|passwd|passphrase|secret|token|api_?key|credential|private_?key", re.IGNORECASE)


def _model(rig: Rig) -> type[BaseModel]:
    model = rig.subject.connection_class.options_model
    if model is None:
        raise LeftOut("the class declares no options model")
    return model


async def options_are_described_and_round_trip(rig: Rig) -> None:
    """Every option is described; unknown ones are refused; valid ones come out as they went in and cannot change."""
    model = _model(rig)
    bare = [path for path, described in _fields(model) if not described]
    if bare:
        raise ContractViolation(f"options without a description: {', '.join(bare)}")
    options = rig.driver().connection.options
    if not isinstance(options, model) or model.model_validate(options.model_dump(exclude_unset=True)) != options:
        raise ContractViolation(f"{model.__name__} does not survive model_validate(model_dump(exclude_unset=True))")
    try:
        model.model_validate({**rig.config, "no_such_option": 1})
    except ValidationError:
        pass
    else:
        raise ContractViolation(f'{model.__name__} takes unknown options in silence: set extra="forbid"')
    if not model.model_config.get("frozen"):
        raise ContractViolation(f"{model.__name__} can be changed after the check: set frozen=True")
    model.model_json_schema()


def _fields(model: type[BaseModel], at: str = "", depth: int = 4) -> Iterator[tuple[str, bool]]:
    for name, field in model.model_fields.items():
        yield f"{at}{name}", bool(field.description)
        for inner in (field.annotation, *get_args(field.annotation)):
            if depth and isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _fields(inner, f"{at}{name}.", depth - 1)


async def secrets_do_not_show(rig: Rig) -> None:
    """No password, key or token of the config is in an error, a status, a log record or a repr."""
    names = _secret_names(rig)
    if not names:
        raise LeftOut("the options have no secret")
    config = {**rig.config, **dict.fromkeys(names, CANARY)}
    shown: dict[str, str] = {}
    log = io.StringIO()
    with _everything_logged(log):
        try:
            driver = rig.driver(config)
        except ValidationError as error:
            raise LeftOut(f"a secret of the kit's making is not valid: {error.errors()[0]['msg']}") from None
        await _show(rig, driver, shown, "with a healthy device")
        rig.proxy.garble(1.0)
        await _show(rig, driver, shown, "with a garbling line")
        rig.proxy.refuse()
        await _show(rig, driver, shown, "with a device that is away")
        _show_wrong_config(rig, config, shown)
    shown["the log"] = log.getvalue()
    for where, text in shown.items():
        if CANARY in text:
            raise ContractViolation(f"a secret of the config ({', '.join(names)}) shows in {where}")


def _secret_names(rig: Rig) -> list[str]:
    model = rig.subject.connection_class.options_model
    fields: Mapping[str, Any] = model.model_fields if model else {}
    typed = [name for name, field in fields.items() if _is_secret(field.annotation)]
    named = [name for name in [*fields, *rig.config] if _SECRET_NAMES.search(name)]
    texts = {
        name
        for name in named
        if name not in fields or str in (fields[name].annotation, *get_args(fields[name].annotation))
    }
    return sorted({*typed, *texts})


def _is_secret(annotation: Any) -> bool:  # noqa: ANN401 - whatever stands behind the colon
    return bool({SecretStr, SecretBytes} & {annotation, *get_args(annotation)})


@contextlib.contextmanager
def _everything_logged(log: io.StringIO) -> Iterator[None]:
    root = logging.getLogger()
    handler, level = logging.StreamHandler(log), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


async def _show(rig: Rig, driver: Driver, shown: dict[str, str], when: str) -> None:
    connection = driver.connection
    calls = {"connect()": driver.connect, "health_check()": driver.health_check, "disconnect()": driver.disconnect}
    for name, call in calls.items():
        ended = await call()
        if ended.error is not None:
            shown[f"the error of {name} {when}"] = "".join(traceback.format_exception(ended.error))
        if name == "health_check()":
            answer = await rig.exercise(driver)
            shown[f"the error of an exchange {when}"] = "".join(traceback.format_exception(answer.error))
    shown[f"get_status() {when}"] = repr(connection.get_status())
    shown[f"last_error {when}"] = str(connection.last_error)
    shown[f"repr() {when}"] = repr(connection)
    shown[f"repr(options) {when}"] = repr(connection.options)


def _show_wrong_config(rig: Rig, config: Mapping[str, Any], shown: dict[str, str]) -> None:
    """What an author's own checks say about a config that is wrong elsewhere; the text of the exception itself."""
    try:
        rig.driver({**config, "port": -1, "base_url": -1, "no_such_option": 1})
    except ValidationError as error:
        shown["the message of a validation error"] = "; ".join(each["msg"] for each in error.errors())
    except Exception as error:  # noqa: BLE001 - whatever it is, it will be shown
        shown["the error of a wrong config"] = str(error)


async def two_connections_share_nothing(first: Rig) -> None:
    """Two objects of the class have their own lines, counters and faults; the class itself stays as it is."""
    before = _class_state(first.subject.connection_class)
    async with rig(first.subject) as second, first.session() as one, second.session() as other:
        if one.connection.stats is other.connection.stats:
            raise ContractViolation("two connections share one `stats`")
        if isinstance(first.proxy, FaultProxy):
            first.proxy.reset()
        else:
            first.proxy.cut()
        first.proxy.refuse()
        health, answer = await other.health_check(), await second.exercise(other)
        if health.value is not True or answer.error is not None or other.losses:
            raise ContractViolation(
                "the loss of one connection's line disturbs another connection:"
                f" its health_check() {health}, its exchange {answer}"
            )
        await one.health_check()
    shared = [name for name, value in _class_state(first.subject.connection_class).items() if before.get(name) != value]
    if shared:
        raise ContractViolation(f"attributes of the class change while connections run: {', '.join(shared)}")


def _class_state(connection_class: type[Any]) -> dict[str, str]:
    """Attributes of the class and its bases (below ours) as text."""
    return {
        f"{each.__name__}.{name}": repr(value)
        for each in connection_class.__mro__
        if issubclass(each, BaseConnection) and each is not BaseConnection
        for name, value in vars(each).items()
        if not name.startswith(("__", "_abc_"))
    }


RULES = [options_are_described_and_round_trip, secrets_do_not_show, two_connections_share_nothing]
