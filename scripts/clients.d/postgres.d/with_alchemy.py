"""SQLAlchemy with its inspector, which is what Superset asks with."""

import os

from asked import call
from tools import VENV


def check(fleet):
    here = os.path.dirname(os.path.abspath(__file__))
    port = fleet.gateways[0]["port"]
    call("SQLAlchemy", [os.path.join(VENV, "bin", "python"), os.path.join(here, "program_alchemy.py"), str(port)])
