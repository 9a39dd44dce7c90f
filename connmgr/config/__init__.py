"""`connections.json`: reading it with all its errors at once, its schema, and the difference between two of them.

config = load("connections.json", lookup=registry.info, known=registry.names)   # or ConfigProblems
"""

from connmgr.config.diff import Diff, diff
from connmgr.config.loading import Known, Lookup, load, parse
from connmgr.config.model import Config, ConnectionConfig, TypeInfo
from connmgr.config.problems import ConfigProblems, Place, Problem
from connmgr.config.schema import schema

__all__ = [
    "Config",
    "ConfigProblems",
    "ConnectionConfig",
    "Diff",
    "Known",
    "Lookup",
    "Place",
    "Problem",
    "TypeInfo",
    "diff",
    "load",
    "parse",
    "schema",
]
