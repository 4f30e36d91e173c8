"""Exchange: rows that go from stage to stage through the store."""

from panels import Board, Row, lines, stat

WRITTEN = 'sum(rate(dunlin_exchange_bytes_total{@, dir="written"}[$__rate_interval]))'
READ = 'sum(rate(dunlin_exchange_bytes_total{@, dir="read"}[$__rate_interval]))'
SCANNED = "sum(rate(dunlin_scan_bytes_total{@}[$__rate_interval]))"
ON_FLEET = 'sum(rate(dunlin_queries_total{@, route="fleet"}[$__rate_interval]))'


def step_share(step):
    total = 'sum(rate(dunlin_task_duration_seconds_sum{@, step="total"}[$__rate_interval]))'
    return f'sum(rate(dunlin_task_duration_seconds_sum{{@, step="{step}"}}[$__rate_interval])) / {total}'


BOARD = Board(
    uid="dunlin-exchange",
    file="exchange",
    title="Dunlin: exchange",
    text="Rows that go from the tasks of one stage to those of the next, as Arrow IPC objects in the store.",
    rows=[
        Row(
            "Now",
            [
                stat("Written", "Bytes that tasks wrote for later stages, a second.", (WRITTEN, "written"), "Bps", width=6),
                stat("Read", "Bytes of former stages that tasks read, a second.", (READ, "read"), "Bps", width=6),
                stat(
                    "Read / written",
                    "Above 1, several tasks read the same bytes: a build side that is sent whole to every task.",
                    (f"{READ} / {WRITTEN}", "ratio"),
                    "short",
                    width=6,
                    decimals=2,
                ),
                stat(
                    "Exchanged / scanned",
                    "Bytes that tasks wrote, for each byte that was read from tables. Large values mean wide joins, or filters that come late.",
                    (f"{WRITTEN} / {SCANNED}", "ratio"),
                    "percentunit",
                    width=6,
                    decimals=1,
                ),
            ],
        ),
        Row(
            "Bytes",
            [
                lines(
                    "Exchange",
                    "Bytes a second, written and read.",
                    ("sum by (dir) (rate(dunlin_exchange_bytes_total{@}[$__rate_interval]))", "{{dir}}"),
                    "Bps",
                    width=12,
                ),
                lines(
                    "From tables to answers",
                    "Bytes a second that were read from tables, written to the exchange, and sent as answers.",
                    [
                        (SCANNED, "read from tables"),
                        (WRITTEN, "written to the exchange"),
                        ("sum(rate(dunlin_result_bytes_total{@}[$__rate_interval]))", "sent as answers"),
                    ],
                    "Bps",
                    width=12,
                ),
                lines(
                    "Of a query",
                    "Bytes for each query that ended on the fleet.",
                    [(f"{WRITTEN} / {ON_FLEET}", "written"), (f"{READ} / {ON_FLEET}", "read")],
                    "bytes",
                    width=12,
                ),
                lines(
                    "Spilled",
                    "Bytes that tasks wrote to local disks because their memory was short, a second. They are not part of the exchange.",
                    ("sum(rate(dunlin_spill_bytes_total{@}[$__rate_interval]))", "spilled"),
                    "Bps",
                    width=12,
                ),
            ],
        ),
        Row(
            "What it costs in time",
            [
                lines(
                    "Share of the tasks' time",
                    "Waiting for input (tables and exchange) and writing output, among the time from claim to commit. High: the store is the limit.",
                    [(step_share("input"), "input"), (step_share("output"), "output"), (step_share("compute"), "compute")],
                    "percentunit",
                    width=12,
                ),
                lines(
                    "Input and output, p95",
                    "95 of 100 tasks waited no longer for their input, and took no longer to write their output.",
                    [
                        (
                            'histogram_quantile(0.95, sum by (step, le) (rate(dunlin_task_duration_seconds_bucket{@, step=~"input|output"}[$__rate_interval])))',
                            "{{step}}",
                        )
                    ],
                    "s",
                    width=12,
                ),
            ],
        ),
    ],
)
