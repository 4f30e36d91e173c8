"""Store: requests, their time, errors, and creates that lost."""

from panels import Board, Row, lines, quantiles, stat

REQUESTS = "sum(rate(dunlin_store_requests_total{@}[$__rate_interval]))"
ENDED = "sum(rate(dunlin_queries_total{@}[$__rate_interval]))"

BOARD = Board(
    uid="dunlin-store",
    file="store",
    title="Dunlin: store",
    text="Requests to the object store. Each step of a query waits for them, and each of them costs money.",
    rows=[
        Row(
            "Now",
            [
                stat("Requests", "Requests a second, of gateways and workers.", (REQUESTS, "requests"), "reqps", width=6),
                stat(
                    "p95 of a GET",
                    "95 of 100 GETs of the gateways were answered within this time.",
                    (
                        'histogram_quantile(0.95, sum by (le) (rate(dunlin_store_request_duration_seconds_bucket{@, op="get"}[$__rate_interval])))',
                        "p95",
                    ),
                    "s",
                    width=6,
                ),
                stat(
                    "Errors",
                    "Share of the gateways' requests that the store answered with an error.",
                    (
                        '(sum(rate(dunlin_store_errors_total{@}[$__rate_interval])) or vector(0)) / sum(rate(dunlin_store_requests_total{@, part="gateway"}[$__rate_interval]))',
                        "errors",
                    ),
                    "percentunit",
                    width=6,
                    decimals=2,
                    steps=[(0, "green"), (0.001, "orange"), (0.01, "red")],
                ),
                stat(
                    "Requests of a query",
                    "Requests to the store for each query that ended.",
                    (f"{REQUESTS} / {ENDED}", "requests"),
                    "short",
                    width=6,
                    decimals=0,
                ),
            ],
        ),
        Row(
            "Requests",
            [
                lines(
                    "By operation",
                    "Requests a second of gateways and workers. PUT and LIST cost about twelve times as much as GET on S3.",
                    ("sum by (op) (rate(dunlin_store_requests_total{@}[$__rate_interval]))", "{{op}}"),
                    "reqps",
                    stacked=True,
                ),
                lines(
                    "By part",
                    "Requests a second: of the gateways themselves, and of workers as their commits tell.",
                    ("sum by (part, op) (rate(dunlin_store_requests_total{@}[$__rate_interval]))", "{{part}} {{op}}"),
                    "reqps",
                    stacked=True,
                ),
                lines(
                    "Of a query",
                    "Requests for each query that ended, by operation. Gateways that idle make requests, too.",
                    (
                        f"sum by (op) (rate(dunlin_store_requests_total{{@}}[$__rate_interval])) / ignoring (op) group_left () {ENDED}",
                        "{{op}}",
                    ),
                    "short",
                    stacked=True,
                ),
            ],
        ),
        Row(
            "Time",
            [
                lines(
                    "GET", "Time of the gateways' own GETs.", quantiles("dunlin_store_request_duration_seconds", op="get"), "s"
                ),
                lines(
                    "PUT",
                    "Time of the gateways' own PUTs: each decision of a query is one.",
                    quantiles("dunlin_store_request_duration_seconds", op="put"),
                    "s",
                ),
                lines(
                    "LIST", "Time of the gateways' own LISTs.", quantiles("dunlin_store_request_duration_seconds", op="list"), "s"
                ),
            ],
        ),
        Row(
            "Trouble",
            [
                lines(
                    "Errors by kind",
                    "Errors a second. slow_down: too many requests for a prefix. timeout: no answer in time. denied: credentials or a policy.",
                    ("sum by (op, kind) (rate(dunlin_store_errors_total{@}[$__rate_interval])) > 0", "{{op}} {{kind}}"),
                    "suffix: errors/s",
                    stacked=True,
                    rare=True,
                ),
                lines(
                    "Creates that lost",
                    "Creates of gateways that found their key taken, a second. Where several gateways run, each tries to count an ended query, and one wins.",
                    ("sum(rate(dunlin_store_conditional_conflicts_total{@}[$__rate_interval]))", "lost"),
                    "suffix: creates/s",
                ),
                lines(
                    "Share of creates that lost",
                    "Creates of gateways that found their key taken, among all their PUTs.",
                    (
                        'sum(rate(dunlin_store_conditional_conflicts_total{@}[$__rate_interval])) / sum(rate(dunlin_store_requests_total{@, part="gateway", op="put"}[$__rate_interval]))',
                        "lost",
                    ),
                    "percentunit",
                ),
            ],
        ),
    ],
)
