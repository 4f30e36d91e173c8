"""The JDBC driver, with a small program in Java."""

import os
import subprocess

from asked import call
from processes import Failed
from tools import jar


def check(fleet):
    here = os.path.dirname(os.path.abspath(__file__))
    classes = os.path.join(fleet.work, "classes")
    source = os.path.join(here, "ProgramJdbc.java")
    made = subprocess.run(["javac", "-cp", jar(), "-d", classes, source], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Failed(f"javac: {made.stderr}")
    keys = fleet.gateways[2]
    arguments = [str(fleet.gateways[0]["port"]), str(keys["port"]), fleet.ca, fleet.key]
    call("JDBC", ["java", "-cp", f"{jar()}{os.pathsep}{classes}", "ProgramJdbc", *arguments])
