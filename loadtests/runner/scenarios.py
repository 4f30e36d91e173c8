"""What each scenario needs from the runner. What it does, and its thresholds, are in its .js file."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    """The stack and the data of a scenario, by size where they differ."""

    about: str
    # Sets of statements of lib/queries.js whose checksums it needs.
    sets: tuple = ("tpch", "other")
    scale: dict = field(default_factory=lambda: {"small": 0.01, "full": 1})
    # Workers of one slot each.
    workers: dict = field(default_factory=lambda: {"small": 2, "full": 2})
    # False: the workers are not started before k6; the scenario starts them.
    workers_run: bool = True
    # True: it stops, starts or looks at processes, so it cannot run with --url.
    needs_control: bool = False
    # True: it also asks on the route `inline`, so its checksums cannot come from there.
    asks_inline: bool = False
    # Names of API keys; gateways ask for keys if there are any.
    keys: tuple = ()
    # Metrics whose thresholds end the run and are no failure of it.
    may_break: tuple = ()
    # Configuration next to state, tables and prices.
    config: str = ""


# A thousand clients have one address here, and a gateway has room for 256 of one address and 512 in all. Their queries
# wait for a worker for longer than a query usually may.
ROOM_FOR_THOUSANDS = """
[gateway.limits]
connections = 8192
requests = 4096
client_requests = 4096

[planning]
queue = 4096

[limits]
no_worker_ms = 3600000
"""

# Small limits, so that a test reaches them.
TIGHT = """
[gateway.limits]
connections = 200
requests = 24
client_requests = 16

[gateway.inline]
slots = 2
queue = 4
"""

SCENARIOS = {
    "smoke": Scenario("everything once; part of CI", scale={"small": 0.01, "full": 0.1}),
    "tpch_mix": Scenario("TPC-H on the fleet at a fixed rate: 70 % short, 25 % medium, 5 % heavy"),
    "dashboards": Scenario("many users with dashboards of eight panels, and time to think", asks_inline=True, sets=("panels",)),
    "async": Scenario("submit, wait, fetch rows and presigned links, at a fixed rate", sets=("other",)),
    "spike": Scenario("ten times the load within ten seconds", asks_inline=True, sets=("panels", "other")),
    "breakpoint": Scenario("more and more load until the latency breaks: the capacity", asks_inline=True, sets=("tpch", "panels"), may_break=("step_ms",)),
    "capacity": Scenario(
        "processor seconds for each query by class, and queries a second of a few clients", asks_inline=True,
        sets=("tpch", "panels"), needs_control=True,
    ),
    "soak": Scenario("a steady load for long: memory, objects and dollars must not grow", asks_inline=True),
    "chaos": Scenario("a mix of queries while gateways and workers are killed", asks_inline=True, workers={"small": 3, "full": 3}),
    "idempotency_storm": Scenario("many clients send one request with one key: one query", sets=("other",)),
    "cancel_storm": Scenario("many queries that never end are cancelled: CANCELLED at once, and workers are free", sets=("other",)),
    "noisy_neighbour": Scenario(
        "one key sends as much as it can; how another key fares", asks_inline=True, sets=("panels", "other"), keys=("quiet", "noisy", "worker")
    ),
    "limits": Scenario("every limit of a gateway is reached, and named", sets=("other",), config=TIGHT,
                       keys=("default", "second", "third", "worker")),
    "cold_start": Scenario(
        "queries that wait for their first worker", sets=("other",), workers_run=False, needs_control=True
    ),
    "waiting": Scenario(
        "1,000 clients wait for queries at once: memory of a gateway", sets=("other",), workers_run=False, needs_control=True,
        config=ROOM_FOR_THOUSANDS,
    ),
}
