"""Tools for testing connections. Needs no pytest at import time; `connmgr simulate` uses this package too."""

from connmgr.testing.simulator import Simulator
from connmgr.testing.virtual_time import VirtualTimeLoop, run

__all__ = ["Simulator", "VirtualTimeLoop", "run"]
