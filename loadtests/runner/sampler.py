"""What the processes use while a scenario runs: one sample a second, from /proc."""

import csv
import threading
import time

from .stack import TICKS, usage

PERIOD_SECONDS = 1.0
FIELDS = ["at_s", "process", "rss_kb", "cpu_s", "threads", "fds"]


class Sampler:
    """Samples until it is left; `figures` are made of the samples."""

    def __init__(self, stack, others):
        self.stack = stack
        # Name -> process id of what is not ours: MinIO.
        self.others = others
        self.samples = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)

    def __enter__(self):
        self.began = time.monotonic()
        self.machine_busy = machine_cpu_s()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        self.seconds = time.monotonic() - self.began
        self.machine_busy = machine_cpu_s() - self.machine_busy

    def loop(self):
        while not self.stopped.is_set():
            self.sample()
            self.stopped.wait(PERIOD_SECONDS)
        self.sample()

    def sample(self):
        at = time.monotonic() - self.began
        for process in self.stack.all():
            found = process.figures()
            if found:
                # A process that was started again is another one: its CPU time begins at zero.
                self.samples.append((at, str(process), process.starts, found))
        for name, pid in self.others.items():
            found = usage(pid)
            if found:
                self.samples.append((at, name, 1, found))

    def others_cores(self, own_cpu_s):
        """Cores that other programs of the machine used meanwhile; `own_cpu_s` is what k6 used."""
        own = own_cpu_s / self.seconds + sum(found["cores"] for found in self.figures().values())
        return max(self.machine_busy / self.seconds - own, 0.0)

    def write(self, path):
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(FIELDS)
            for at, name, _, found in self.samples:
                writer.writerow([f"{at:.1f}", name] + [found[field] for field in FIELDS[2:]])

    def figures(self):
        """By process: memory at the beginning, the end and the peak, mean cores, most threads and descriptors."""
        by_name = {}
        for at, name, start, found in self.samples:
            by_name.setdefault(name, []).append((at, start, found))
        result = {}
        for name, rows in by_name.items():
            rss = [found["rss_kb"] for _, _, found in rows]
            result[name] = {
                "first_mb": round(rss[0] / 1024, 1),
                "last_mb": round(rss[-1] / 1024, 1),
                "peak_mb": round(max(rss) / 1024, 1),
                "slope_mb_per_h": slope(rows),
                "cores": round(cores(rows), 2),
                "threads": max(found["threads"] for _, _, found in rows),
                "fds": max(found["fds"] for _, _, found in rows),
                "starts": max(start for _, start, _ in rows),
            }
        return result


def machine_cpu_s():
    """CPU seconds that the machine has worked since its start."""
    with open("/proc/stat", encoding="utf-8") as file:
        user, nice, system, _idle, _iowait, irq, softirq = (int(value) for value in file.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def cores(rows):
    """CPU seconds per second, over all lives of a process."""
    used = 0.0
    for (_, start, before), (_, next_start, after) in zip(rows, rows[1:]):
        used += after["cpu_s"] - before["cpu_s"] if start == next_start else after["cpu_s"]
    return used / max(rows[-1][0] - rows[0][0], 0.001)


def slope(rows):
    """Growth of resident memory in the second half of the run, by least squares; None if it was started again."""
    half = rows[len(rows) // 2 :]
    if len(half) < 20 or len({start for _, start, _ in half}) > 1:
        return None
    times = [at for at, _, _ in half]
    sizes = [found["rss_kb"] / 1024 for _, _, found in half]
    middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((at - middle) ** 2 for at in times)
    return round(3600 * sum((at - middle) * (size - mean) for at, size in zip(times, sizes)) / spread, 1)
