"""node-postgres."""

import os

from asked import call
from tools import NPM


def check(fleet):
    here = os.path.dirname(os.path.abspath(__file__))
    keys = fleet.gateways[2]
    arguments = [str(fleet.gateways[0]["port"]), str(keys["port"]), fleet.ca, fleet.key]
    env = {**os.environ, "NODE_PATH": os.path.join(NPM, "node_modules")}
    call("node-postgres", ["node", os.path.join(here, "program_node.js"), *arguments], env=env)
