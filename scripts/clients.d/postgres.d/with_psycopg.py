"""psycopg 3 and psycopg 2, in the virtual environment."""

import os

from asked import call
from tools import VENV


def check(fleet):
    here = os.path.dirname(os.path.abspath(__file__))
    port, other = fleet.gateways[0]["port"], fleet.gateways[1]["port"]
    call("psycopg", [os.path.join(VENV, "bin", "python"), os.path.join(here, "program_psycopg.py"), str(port), str(other)])
