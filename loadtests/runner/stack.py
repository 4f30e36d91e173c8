"""Gateways and workers as processes: started, killed, started again, and looked at in /proc."""

import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

from . import metrics
from .tools import Failure, free_port, tail, wait_until

READY_SECONDS = 60
# A gateway drains for 25 s and a worker has 25 s for its tasks; a little more than that.
TERM_SECONDS = 40
TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """One process that can be started again with the same command."""

    def __init__(self, role, index, command, environment, log, url=None):
        self.role, self.index, self.command, self.log, self.url = role, index, command, log, url
        self.environment = dict(os.environ, **environment)
        self.child = None
        self.starts = 0
        # True if somebody wanted its end.
        self.stopped = False
        # Address of its figures, if it has one.
        self.metrics = None
        self.lock = threading.Lock()

    def __str__(self):
        return f"{self.role} {self.index}"

    def start(self):
        with self.lock:
            if self.alive():
                return
            os.makedirs(os.path.dirname(self.log), exist_ok=True)
            with open(self.log, "a", encoding="utf-8") as log:
                # A session of its own: Ctrl-C is for the runner, which then stops its processes in order.
                self.child = subprocess.Popen(
                    self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            self.starts += 1
            self.stopped = False

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def stop(self, how):
        """`term` asks and waits, `kill` is SIGKILL. Returns when the process is gone."""
        with self.lock:
            if not self.alive():
                return
            self.stopped = True
            self.child.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
            try:
                self.child.wait(TERM_SECONDS)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                raise Failure(f"{self} did not end within {TERM_SECONDS} s after SIGTERM; see {self.log}") from None

    def figures(self):
        """What the process uses now, or None if it does not run."""
        if not self.alive():
            return None
        found = usage(self.child.pid)
        if found:
            found.update(role=self.role, index=self.index)
        return found


def usage(pid):
    """Resident memory, CPU seconds, threads and descriptors of a process; None if it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            lines = dict(line.split(":", 1) for line in file)
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            parts = file.read().rsplit(")", 1)[1].split()
        return {
            "rss_kb": int(lines["VmRSS"].split()[0]),
            "peak_kb": int(lines["VmHWM"].split()[0]),
            "threads": int(lines["Threads"]),
            "cpu_s": (int(parts[11]) + int(parts[12])) / TICKS,
            "fds": len(os.listdir(f"/proc/{pid}/fd")),
        }
    except (OSError, KeyError, IndexError):
        return None


def answers(url):
    try:
        with urllib.request.urlopen(f"{url}/v1/ready", timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def ready(process, url):
    """Waits until a gateway is ready; fails at once if it has ended."""

    def holds():
        if not process.alive():
            raise Failure(f"{process} ended before it was ready:\n{tail(process.log)}")
        return answers(url)

    try:
        wait_until(f"{process} was not ready", READY_SECONDS, holds)
    except Failure as failure:
        raise Failure(f"{failure}\n{tail(process.log)}") from failure


class Stack:
    """All gateways and workers of a run."""

    def __init__(self, binary, config, environment, gateways, workers, logs, worker_key):
        self.gateways = []
        for n in range(gateways):
            address = f"127.0.0.1:{free_port()}"
            command = [binary, "gateway", "--config", config, "--http", address]
            process = Process("gateway", n, command, environment, f"{logs}/gateway-{n}.log", f"http://{address}")
            if metrics.supported(binary):
                process.metrics = f"127.0.0.1:{free_port()}"
                command += ["--metrics", process.metrics]
            self.gateways.append(process)
        own = dict(environment, **({"DUNLIN_API_KEY": worker_key} if worker_key else {}))
        worker = [binary, "worker", "--config", config, "--slots", "1"]
        self.workers = [Process("worker", n, worker, own, f"{logs}/worker-{n}.log") for n in range(workers)]

    def all(self):
        return self.gateways + self.workers

    def find(self, role, index):
        group = {"gateway": self.gateways, "worker": self.workers}.get(role)
        if group is None or not 0 <= index < len(group):
            raise Failure(f"there is no {role} {index}")
        return group[index]

    def start_gateways(self):
        for process in self.gateways:
            process.start()
        for process in self.gateways:
            ready(process, process.url)

    def start(self, role, index):
        process = self.find(role, index)
        process.start()
        if role == "gateway":
            ready(process, process.url)

    def stop(self):
        """Asks all processes to end, workers first, and waits for each. Says which did not end in time."""
        late = []
        for process in self.workers + self.gateways:
            if process.alive():
                process.stopped = True
                process.child.send_signal(signal.SIGTERM)
        for process in self.workers + self.gateways:
            try:
                process.stop("term")
            except Failure as failure:
                late.append(str(failure))
        return late

    def busy(self, role, seconds):
        """CPU seconds per second of all processes of a role, measured over some seconds."""
        group = {"gateway": self.gateways, "worker": self.workers}[role]

        def used():
            return sum(found["cpu_s"] for found in (process.figures() for process in group) if found)

        before, began = used(), time.monotonic()
        time.sleep(seconds)
        return (used() - before) / (time.monotonic() - began)
