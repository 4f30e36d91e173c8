"""What the gateways say about themselves at the end of a run: their Prometheus text, where the binary has it."""

import functools
import os
import re
import subprocess
import time
import urllib.error
import urllib.request

from .tools import say, write_text

# Counters that are added up over the gateways for the report; the whole text is kept beside it.
SHOWN = (
    "dunlin_queries_total",
    "dunlin_query_errors_total",
    "dunlin_tasks_total",
    "dunlin_store_requests_total",
    "dunlin_store_errors_total",
    "dunlin_store_conditional_conflicts_total",
    "dunlin_cost_usd_total",
)
SWEEP_SECONDS = 11
SETTLE_SECONDS = 40
SERIES = re.compile(r"^([a-z_:]+(?:\{[^}]*\})?) ([-+0-9.eE]+|NaN)(?: [0-9]+)?$")


@functools.cache
def supported(binary):
    """Whether this dunlin has `gateway --metrics`."""
    shown = subprocess.run([binary, "gateway", "--help"], stdout=subprocess.PIPE, text=True, check=False)
    return "--metrics" in shown.stdout


def collect(gateways, out, settle):
    """Series -> sum over the gateways. A gateway that was started again counts from its last start on.

    With `settle` it waits until the counters of queries stand still: a gateway counts a query that nobody waits for when
    it sweeps, at least every 10 s."""
    if not settle:
        return read(gateways, out)
    found = read(gateways, out)
    deadline = time.monotonic() + SETTLE_SECONDS
    while found and time.monotonic() < deadline:
        time.sleep(SWEEP_SECONDS)
        before, found = found, read(gateways, out)
        if queries(before) == queries(found):
            break
    return found


def queries(figures):
    return sum(value for name, value in figures.items() if name.startswith("dunlin_queries_total"))


def read(gateways, out):
    sums = {}
    for gateway in gateways:
        if gateway.metrics is None or not gateway.alive():
            continue
        try:
            with urllib.request.urlopen(f"http://{gateway.metrics}/metrics", timeout=10) as response:
                text = response.read().decode()
        except (urllib.error.URLError, OSError) as error:
            say(f"{gateway} gives no metrics: {error}")
            continue
        write_text(os.path.join(out, f"metrics-gateway-{gateway.index}.txt"), text)
        for line in text.splitlines():
            found = SERIES.match(line)
            if found and found.group(1).split("{")[0] in SHOWN and float(found.group(2)) != 0:
                sums[found.group(1)] = sums.get(found.group(1), 0) + float(found.group(2))
    return dict(sorted(sums.items()))
