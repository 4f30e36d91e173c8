"""Gets clients of Postgres from package registries, pinned, into .tools/."""

import os
import shutil
import subprocess

from gateways import TOOLS, driver, environment, not_tested, pin, pinned, say

FOLDER = os.path.join(TOOLS, "clients-postgres")
VENV = os.path.join(FOLDER, "venv")
NPM = os.path.join(FOLDER, "npm")
JDBC = os.path.join(FOLDER, "jdbc")

PYTHON = ["psycopg[binary]==3.2.13", "SQLAlchemy==2.0.58", "psycopg2-binary==2.9.13"]
NODE = ["pg@8.23.1"]
JAVA = "org.postgresql:postgresql:42.7.7"


def need(program, package):
    if not shutil.which(program):
        not_tested(f"{program} is missing; on Debian: apt-get install {package}")


def set_up():
    """Installs what is missing. Quick if nothing is."""
    need("psql", "postgresql-client")
    need("java", "default-jdk-headless")
    need("javac", "default-jdk-headless")
    need("node", "nodejs")
    environment(VENV, PYTHON)
    driver(JDBC, JAVA)
    if not pinned(NPM, NODE):
        need("npm", "npm")
        say(f"installing {', '.join(NODE)}")
        os.makedirs(NPM, exist_ok=True)
        if subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", *NODE], cwd=NPM).returncode:
            not_tested("npm install failed")
        pin(NPM, NODE)


def jar():
    return os.path.join(JDBC, "driver.jar")
