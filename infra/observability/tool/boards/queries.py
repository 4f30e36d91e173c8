"""Queries: how many, how long, which errors, and what HTTP clients see."""

from boards.overview import errors_by_code, queries_by_end
from panels import Board, Row, heatmap, lines, quantiles


def phase(name):
    return quantiles("dunlin_query_duration_seconds", by="route", phase=name)


def share(matchers):
    """Share of the requests that `matchers` choose; 0 if there is none of them."""
    all_of_them = "sum(rate(dunlin_http_requests_total{@}[$__rate_interval]))"
    return f"(sum(rate(dunlin_http_requests_total{{@, {matchers}}}[$__rate_interval])) or vector(0)) / {all_of_them}"


BOARD = Board(
    uid="dunlin-queries",
    file="queries",
    title="Dunlin: queries",
    text="Queries by route, end, phase and error, and the requests of HTTP clients.",
    rows=[
        Row(
            "How many, and how they end",
            [
                lines(
                    "Queries by route",
                    "Queries that ended, a second. inline: in a gateway. fleet: on workers.",
                    ("sum by (route) (rate(dunlin_queries_total{@}[$__rate_interval]))", "{{route}}"),
                    "suffix: queries/s",
                    stacked=True,
                ),
                queries_by_end(),
                errors_by_code(),
            ],
        ),
        Row(
            "How long",
            [
                heatmap(
                    "Time of queries",
                    "How many queries took how long, from the request until the query ended.",
                    'sum by (le) (increase(dunlin_query_duration_seconds_bucket{@, phase="total"}[$__rate_interval]))',
                    "s",
                    width=12,
                ),
                lines("Total, by route", "From the request until the query ended.", phase("total"), "s", width=12),
                lines(
                    "Planning", "From the statement to a plan. Listings and footers of tables are read here.", phase("plan"), "s"
                ),
                lines(
                    "Waiting",
                    "From the request until the first task began. Only queries that are written to the store have it.",
                    phase("queue"),
                    "s",
                ),
                lines("Running", "From the first task until the last one ended.", phase("run"), "s"),
            ],
        ),
        Row(
            "Limits of gateways",
            [
                lines(
                    "Statements in planning",
                    "Statements that are planned now, and statements that wait for it. Above [planning] queue, GATEWAY_BUSY.",
                    [("sum(dunlin_planning_running{@})", "planned now"), ("sum(dunlin_planning_queued{@})", "waiting")],
                    "short",
                ),
                lines(
                    "Clients that wait",
                    "HTTP requests that wait for a query to end. Above [gateway.limits] requests, GATEWAY_BUSY.",
                    ("sum by (instance) (dunlin_clients_waiting{@})", "{{instance}}"),
                    "short",
                    stacked=True,
                ),
                lines(
                    "Answers",
                    "Bytes of answers in the store, a second. Inline answers that leave no records are not among them.",
                    ("sum(rate(dunlin_result_bytes_total{@}[$__rate_interval]))", "answers"),
                    "Bps",
                ),
            ],
        ),
        Row(
            "HTTP",
            [
                lines(
                    "Requests by route",
                    "Requests a second by the route of the HTTP API.",
                    ("sum by (method, route) (rate(dunlin_http_requests_total{@}[$__rate_interval]))", "{{method}} {{route}}"),
                    "reqps",
                    stacked=True,
                    width=12,
                ),
                lines(
                    "p95 by route",
                    "95 of 100 requests were answered within this time. A request that waits for its query takes as long as the query.",
                    (
                        "histogram_quantile(0.95, sum by (route, le) (rate(dunlin_http_request_duration_seconds_bucket{@}[$__rate_interval])))",
                        "{{route}}",
                    ),
                    "s",
                    width=12,
                ),
                lines(
                    "Answers by code",
                    "Requests a second by HTTP status.",
                    ("sum by (code) (rate(dunlin_http_requests_total{@}[$__rate_interval]))", "{{code}}"),
                    "reqps",
                    stacked=True,
                    width=12,
                ),
                lines(
                    "Refused and failed",
                    "Share of the requests that were answered 429 (one client has too many), 503 (busy, or no store), or another error of the server.",
                    [
                        (share('code="429"'), "429"),
                        (share('code="503"'), "503"),
                        (share('code=~"5..", code!="503"'), "other 5xx"),
                    ],
                    "percentunit",
                    width=12,
                ),
            ],
        ),
    ],
)
