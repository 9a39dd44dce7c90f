"""Tools for testing connections. Needs no pytest at import time; `connmgr simulate` uses this package too."""

from connmgr.testing.fault_proxy import FaultProxy
from connmgr.testing.faults import Direction
from connmgr.testing.pty_proxy import PtyFaultProxy, PtyPair
from connmgr.testing.simulator import Simulator
from connmgr.testing.virtual_time import VirtualTimeLoop, run

__all__ = ["Direction", "FaultProxy", "PtyFaultProxy", "PtyPair", "Simulator", "VirtualTimeLoop", "run"]
