"""A real Prometheus that watches the gateways while they are under load: `scripts/observability live`."""

import os
import subprocess

from .tools import ROOT, say

SECONDS = 90
NOT_TESTED = 3


class Watcher:
    """Runs beside k6. The gateways must live until it has ended."""

    def __init__(self, gateways, out):
        self.log = os.path.join(out, "observability.log")
        pages = [f"http://{gateway.metrics}/metrics" for gateway in gateways]
        command = [os.path.join(ROOT, "scripts", "observability"), "live", "--seconds", str(SECONDS), *pages]
        with open(self.log, "w", encoding="utf-8") as file:
            self.child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    def end(self):
        """Waits for its verdict; returns what is wrong."""
        status = self.child.wait()
        with open(self.log, encoding="utf-8") as file:
            lines = file.read().splitlines()
        for line in lines[-6:]:
            say(line)
        if status == NOT_TESTED:
            say("NOT TESTED: the dashboards, because Prometheus cannot be had")
            return []
        return [] if status == 0 else ["the dashboards lack data, or metrics and their document differ: " + "; ".join(lines[-3:])]
