"""The rules that connmgr's conformance kit knows."""

from connmgr.testing import contract_tests
from connmgr_s7 import S7Connection
from connmgr_s7.simulator import S7Simulator

TestContract = contract_tests(
    S7Connection, S7Simulator, config={"timeout": 0.5}, exercise=lambda plc: plc.read_db(1, 0, 12)
)
