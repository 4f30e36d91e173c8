#!/usr/bin/env python3
"""Real clients against real gateways: psql, psycopg, SQLAlchemy, JDBC, node-postgres, and the catalog queries of BI tools.

    scripts/clients setup                              installs the clients into .tools/clients
    scripts/clients postgres [--bin-dir target/debug]  two gateways and a worker over TPC-H data, and every client
    scripts/clients postgres --only psql,jdbc          some of them

It fails at the first wrong answer. Exit code 3: NOT TESTED, because a client cannot be had. It needs Python 3 with its venv
module, psql, Java, Maven and Node.js; on Debian: apt-get install postgresql-client default-jdk-headless maven nodejs npm.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients"))
sys.dont_write_bytecode = True

from runner.main import main  # noqa: E402: found by the line above

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
