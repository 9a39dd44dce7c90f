"""Tools for testing connections. Needs no pytest; `connmgr simulate` uses this package too."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from connmgr.testing.simulator import Simulator

if TYPE_CHECKING:
    from connmgr.testing.cancel import CancelAt
    from connmgr.testing.contract import Verdict, check_contract, contract_tests
    from connmgr.testing.driver import ContractViolation
    from connmgr.testing.fault_proxy import FaultProxy
    from connmgr.testing.faults import Direction
    from connmgr.testing.pty_proxy import PtyFaultProxy, PtyPair
    from connmgr.testing.rig import put_between
    from connmgr.testing.virtual_time import VirtualTimeLoop, run

__all__ = [
    "CancelAt",
    "ContractViolation",
    "Direction",
    "FaultProxy",
    "PtyFaultProxy",
    "PtyPair",
    "Simulator",
    "Verdict",
    "VirtualTimeLoop",
    "check_contract",
    "contract_tests",
    "put_between",
    "run",
]

_HOMES = {
    "CancelAt": "cancel",
    "ContractViolation": "driver",
    "Direction": "faults",
    "FaultProxy": "fault_proxy",
    "PtyFaultProxy": "pty_proxy",
    "PtyPair": "pty_proxy",
    "Verdict": "contract",
    "VirtualTimeLoop": "virtual_time",
    "check_contract": "contract",
    "contract_tests": "contract",
    "put_between": "rig",
    "run": "virtual_time",
}


if not TYPE_CHECKING:  # else a misspelt name would pass for Any

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - each name has its own type, given above
        # Lazy, so that a simulator does not pay for the kit.
        if name not in _HOMES:
            raise AttributeError(f"module 'connmgr.testing' has no attribute {name!r}")
        return getattr(import_module(f"connmgr.testing.{_HOMES[name]}"), name)
