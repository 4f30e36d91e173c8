"""The command: what is to be done, and which clients."""

import argparse
import importlib
import os
import sys
import time

from runner.processes import Failed, Fleet
from runner.tools import NotTested, ROOT, say, setup

NOT_TESTED = 3
POSTGRES = ["psql", "psycopg", "alchemy", "jdbc", "node", "replay"]


def main(arguments):
    parser = argparse.ArgumentParser(prog="scripts/clients")
    parser.add_argument("what", choices=["setup", "postgres"])
    parser.add_argument("--bin-dir", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "debug"))
    parser.add_argument("--only", default=",".join(POSTGRES))
    options = parser.parse_args(arguments)
    wanted = options.only.split(",")
    try:
        setup()
        if options.what == "setup":
            return 0
        sys.path.insert(0, os.path.join(ROOT, "clients", "postgres"))
        with Fleet(options.bin_dir) as fleet:
            for name in wanted:
                if name not in POSTGRES:
                    raise Failed(f"there is no client {name}; there are {', '.join(POSTGRES)}")
                began = time.monotonic()
                importlib.import_module(f"with_{name}").check(fleet)
                say(f"{name}: right ({time.monotonic() - began:.1f} s)")
            defects = fleet.defects()
            if defects:
                raise Failed("a process met a defect: " + "; ".join(defects[:5]))
    except NotTested as error:
        print(f"clients: NOT TESTED: {error}", file=sys.stderr)
        return NOT_TESTED
    except Failed as error:
        print(f"clients: error: {error}", file=sys.stderr)
        return 1
    say("every client has the right answers")
    return 0
