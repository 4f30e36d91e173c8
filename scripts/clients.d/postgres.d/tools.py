"""Installs clients from package registries, pinned, into .tools/clients-postgres."""

import os
import shutil
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
TOOLS = os.path.join(ROOT, ".tools", "clients-postgres")
VENV = os.path.join(TOOLS, "venv")
NPM = os.path.join(TOOLS, "npm")
JDBC = os.path.join(TOOLS, "jdbc")

PYTHON = ["psycopg[binary]==3.2.13", "SQLAlchemy==2.0.58", "psycopg2-binary==2.9.13"]
NODE = ["pg@8.23.1"]
JAVA = "org.postgresql:postgresql:42.7.7"


class NotTested(Exception):
    """A client cannot be had here."""


def say(text):
    print(f"clients: {text}", flush=True)


def need(program, package):
    if not shutil.which(program):
        raise NotTested(f"{program} is missing; on Debian: apt-get install {package}")


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise NotTested(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-400:]}")


def is_pinned(folder, pins):
    try:
        with open(os.path.join(folder, "pins"), encoding="utf-8") as file:
            return file.read() == pins
    except OSError:
        return False


def pin(folder, pins):
    with open(os.path.join(folder, "pins"), "w", encoding="utf-8") as file:
        file.write(pins)


def setup():
    """Installs what is missing. Quick if nothing is."""
    need("psql", "postgresql-client")
    need("java", "default-jdk-headless")
    need("javac", "default-jdk-headless")
    need("node", "nodejs")
    pins = "\n".join(PYTHON)
    if not is_pinned(VENV, pins):
        say(f"installing {', '.join(PYTHON)}")
        os.makedirs(TOOLS, exist_ok=True)
        run(["python3", "-m", "venv", VENV])
        run([os.path.join(VENV, "bin", "pip"), "install", "--quiet", *PYTHON])
        pin(VENV, pins)
    pins = "\n".join(NODE)
    if not is_pinned(NPM, pins):
        need("npm", "npm")
        say(f"installing {', '.join(NODE)}")
        os.makedirs(NPM, exist_ok=True)
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", *NODE], cwd=NPM)
        pin(NPM, pins)
    if not is_pinned(JDBC, JAVA):
        need("mvn", "maven")
        say(f"installing {JAVA}")
        os.makedirs(JDBC, exist_ok=True)
        run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={JAVA}", f"-DoutputDirectory={JDBC}"], cwd=TOOLS)
        pin(JDBC, JAVA)


def jar():
    return os.path.join(JDBC, f"postgresql-{JAVA.rsplit(':', 1)[1]}.jar")
