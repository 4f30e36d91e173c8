"""Cost: dollars by list prices, in all and of a query."""

from panels import Board, Row, lines, stat

RATE = "sum(rate(dunlin_cost_usd_total{@}[$__rate_interval]))"
ENDED = "sum(rate(dunlin_queries_total{@}[$__rate_interval]))"
COMPONENTS = {"compute": "blue", "requests": "orange", "storage": "purple"}

BOARD = Board(
    uid="dunlin-cost",
    file="cost",
    title="Dunlin: cost",
    text="Dollars by list prices, as in the receipts of the queries that ended. Without [prices] everything here is zero. docs/cost.md says what is not counted.",
    window="now-24h",
    rows=[
        Row(
            "Now",
            [
                stat(
                    "An hour",
                    "Dollars an hour, at the rate of now.",
                    (f"3600 * {RATE}", "cost"),
                    "currencyUSD",
                    width=6,
                    decimals=2,
                ),
                stat(
                    "In the time shown",
                    "Dollars of the queries that ended in the time that is shown.",
                    ("sum(increase(dunlin_cost_usd_total{@}[$__range]))", "cost"),
                    "currencyUSD",
                    width=6,
                    decimals=2,
                    instant=True,
                ),
                stat(
                    "A month, at this rate",
                    "Dollars of 30 days like the time that is shown.",
                    ("30 * 86400 * sum(rate(dunlin_cost_usd_total{@}[$__range]))", "cost"),
                    "currencyUSD",
                    width=6,
                    decimals=0,
                    instant=True,
                ),
                stat(
                    "1,000 queries",
                    "Dollars of 1,000 queries like those of the time that is shown.",
                    (
                        "1000 * sum(increase(dunlin_cost_usd_total{@}[$__range])) / sum(increase(dunlin_queries_total{@}[$__range]))",
                        "cost",
                    ),
                    "currencyUSD",
                    width=6,
                    decimals=3,
                    instant=True,
                ),
            ],
        ),
        Row(
            "Over time",
            [
                lines(
                    "By component",
                    "Dollars an hour. compute: functions, or slots of containers. requests: PUT, LIST, GET. storage: exchange data and answers until they are deleted.",
                    ("3600 * sum by (component) (rate(dunlin_cost_usd_total{@}[$__rate_interval]))", "{{component}}"),
                    "currencyUSD",
                    stacked=True,
                    width=12,
                    colours=COMPONENTS,
                ),
                lines(
                    "In the last hour",
                    "Dollars of the last hour, at each moment. The alert compares this with the budget.",
                    ("sum(increase(dunlin_cost_usd_total{@}[1h]))", "last hour"),
                    "currencyUSD",
                    width=12,
                ),
            ],
        ),
        Row(
            "Of a query",
            [
                lines(
                    "Dollars of 1,000 queries",
                    "By component: where the price of a query comes from.",
                    (
                        f"1000 * sum by (component) (rate(dunlin_cost_usd_total{{@}}[$__rate_interval])) / ignoring (component) group_left () {ENDED}",
                        "{{component}}",
                    ),
                    "currencyUSD",
                    stacked=True,
                    colours=COMPONENTS,
                ),
                lines(
                    "Dollars of a terabyte read",
                    "Dollars for each terabyte (10^12 bytes) that was read from tables. Athena takes 5.",
                    (f"1e12 * {RATE} / sum(rate(dunlin_scan_bytes_total{{@}}[$__rate_interval]))", "a terabyte"),
                    "currencyUSD",
                ),
                lines(
                    "Requests of a query",
                    "Requests for each query that ended. PUT and LIST cost about twelve times as much as GET on S3.",
                    (
                        "sum by (op) (rate(dunlin_store_requests_total{@}[$__rate_interval])) / ignoring (op) group_left () "
                        + ENDED,
                        "{{op}}",
                    ),
                    "short",
                    stacked=True,
                ),
            ],
        ),
    ],
)
