"""Overview and SLO: is it well, does it keep its promise, which gateways run."""

from panels import Board, Row, lines, quantiles, stat, table

# Codes of errors that are the service's own trouble. The same list is in rules.yaml (checked) and docs/operations.md.
FAULTS = (
    "INTERNAL|EXCHANGE_FAILED|WORKER_LOST|NO_COMPATIBLE_WORKER|STORE_UNAVAILABLE|SUBMISSION_FAILED|GATEWAY_BUSY"
    "|DISK_FULL|OUT_OF_MEMORY"
)
STATUS = {"SUCCEEDED": "green", "FAILED": "red", "CANCELLED": "yellow", "TIMEOUT": "orange"}


def faults(window):
    """Faults a second; 0 where there are queries and no fault."""
    return (
        f'(sum(rate(dunlin_query_errors_total{{@, code=~"{FAULTS}"}}[{window}]))'
        f" or 0 * sum(rate(dunlin_queries_total{{@}}[{window}])))"
    )


def fault_share(window):
    good = f'sum(rate(dunlin_queries_total{{@, status="SUCCEEDED"}}[{window}]))'
    return f"{faults(window)} / ({faults(window)} + {good})"


def p95(route):
    return (
        "histogram_quantile(0.95, sum by (le) (rate(dunlin_query_duration_seconds_bucket"
        f'{{@, phase="total", route="{route}"}}[$__rate_interval])))'
    )


def queries_by_end():
    return lines(
        "Queries by end",
        "Queries that ended, a second, by status.",
        ("sum by (status) (rate(dunlin_queries_total{@}[$__rate_interval]))", "{{status}}"),
        "suffix: queries/s",
        stacked=True,
        colours=STATUS,
    )


def errors_by_code():
    return lines(
        "Errors by code",
        "Errors a second, of queries and of requests that were refused. docs/troubleshooting.md explains each code.",
        ("sum by (code) (rate(dunlin_query_errors_total{@}[$__rate_interval])) > 0", "{{code}}"),
        "suffix: errors/s",
        stacked=True,
        rare=True,
    )


BOARD = Board(
    uid="dunlin-overview",
    file="overview",
    title="Dunlin: overview and SLO",
    text="Is the service well, and does it keep its promise? The other dashboards go into detail.",
    window="now-6h",
    rows=[
        Row(
            "Now",
            [
                stat(
                    "Gateways ready",
                    "Gateways that reach the store and take queries. At zero nobody can submit a query.",
                    ("sum(dunlin_ready{@})", "ready"),
                    "short",
                    steps=[(0, "red"), (1, "green")],
                ),
                stat(
                    "Oldest query that waits",
                    "For how long the oldest open query has not moved. It ends after two minutes if no worker takes its tasks.",
                    ("max(dunlin_oldest_pending_seconds{@})", "oldest"),
                    "s",
                    steps=[(0, "green"), (30, "orange"), (60, "red")],
                ),
                stat(
                    "Queries",
                    "Queries that ended, a second, whatever their end.",
                    ("sum(rate(dunlin_queries_total{@}[$__rate_interval]))", "queries"),
                    "suffix: queries/s",
                ),
                stat(
                    "p95, inline",
                    "95 of 100 queries that ran in a gateway were answered within this time.",
                    (p95("inline"), "p95"),
                    "s",
                    rare=True,
                ),
                stat("p95, fleet", "95 of 100 queries that ran on workers ended within this time.", (p95("fleet"), "p95"), "s"),
                stat(
                    "Cost",
                    "Dollars an hour, by list prices, of the queries that end now. Without [prices] it is zero.",
                    ("3600 * sum(rate(dunlin_cost_usd_total{@}[$__rate_interval]))", "cost"),
                    "currencyUSD",
                    decimals=2,
                ),
            ],
        ),
        Row(
            "The promise",
            [
                stat(
                    "Availability",
                    "Share of the queries that ended well, among those that Dunlin should answer, over the time that is shown. "
                    "Errors of statements, clients and limits do not count.",
                    (f"1 - ({fault_share('$__range')})", "availability"),
                    "percentunit",
                    width=5,
                    height=8,
                    decimals=3,
                    instant=True,
                    steps=[(0, "red"), (0.99, "orange"), (0.999, "green")],
                ),
                stat(
                    "Error budget left",
                    "What is left of the faults that a target of 99.9 % allows in the time that is shown. Below zero the promise is broken.",
                    (f"1 - ({fault_share('$__range')}) / 0.001", "left"),
                    "percentunit",
                    width=5,
                    height=8,
                    decimals=1,
                    instant=True,
                    steps=[(0, "red"), (0, "orange"), (0.25, "green")],
                ),
                lines(
                    "Share of faults",
                    "Faults among the queries that Dunlin should answer: over five minutes and over an hour. The alert compares both with its limits.",
                    [(fault_share("5m"), "5 minutes"), (fault_share("1h"), "1 hour")],
                    "percentunit",
                    width=14,
                ),
            ],
        ),
        Row(
            "Queries",
            [
                queries_by_end(),
                lines(
                    "Time of a query",
                    "From the request until the query ended: half, 95 and 99 of 100 queries took no longer.",
                    quantiles("dunlin_query_duration_seconds", phase="total"),
                    "s",
                ),
                errors_by_code(),
                lines(
                    "Open queries", "Queries in the store that have not ended.", ("max(dunlin_queries_open{@})", "open"), "short"
                ),
                lines(
                    "Tasks",
                    "Tasks that wait for a worker, and tasks that run. The number that waits is the signal to scale workers on.",
                    [("max(dunlin_tasks_pending{@})", "waiting"), ("max(dunlin_tasks_running{@})", "running")],
                    "short",
                    colours={"waiting": "orange", "running": "green"},
                ),
                lines(
                    "Clients that wait",
                    "HTTP requests that wait for a query to end.",
                    ("sum(dunlin_clients_waiting{@})", "clients"),
                    "short",
                ),
            ],
        ),
        Row(
            "Gateways",
            [
                table(
                    "Builds",
                    "Version and build of each gateway. A worker takes only the queries of gateways of its own build.",
                    "dunlin_build_info{@}",
                    [("instance", "Gateway"), ("version", "Version"), ("build", "Build")],
                ),
                lines(
                    "Memory",
                    "Memory of each gateway's process. Above the limit of its container the system ends it.",
                    ("process_resident_memory_bytes{@} and on (job, instance) dunlin_build_info{@}", "{{instance}}"),
                    "bytes",
                ),
                lines(
                    "Processor",
                    "Cores that each gateway uses.",
                    (
                        "rate(process_cpu_seconds_total{@}[$__rate_interval]) and on (job, instance) dunlin_build_info{@}",
                        "{{instance}}",
                    ),
                    "short",
                ),
                lines(
                    "Open files",
                    "File descriptors of each gateway: connections of clients, requests to the store, files.",
                    ("process_open_fds{@} and on (job, instance) dunlin_build_info{@}", "{{instance}}"),
                    "short",
                ),
                lines(
                    "Runs since",
                    "How long each gateway has been running. A fall to zero is a restart.",
                    ("time() - process_start_time_seconds{@} and on (job, instance) dunlin_build_info{@}", "{{instance}}"),
                    "s",
                ),
                lines(
                    "Ready",
                    "1 if the gateway reaches the store and takes queries, else 0.",
                    ("dunlin_ready{@}", "{{instance}}"),
                    "short",
                    most=1,
                ),
            ],
        ),
    ],
)
