"""Fleet: tasks that wait and run, how attempts end, how long steps take, calls of functions."""

from panels import Board, Row, heatmap, lines, quantiles, stat

OUTCOME = {"committed": "green", "failed": "red", "lost": "orange"}
CALLS = {"accepted": "green", "throttled": "orange", "failed": "red"}


def share(metric, label, value, window="$__rate_interval"):
    return f'sum(rate({metric}{{@, {label}="{value}"}}[{window}])) / sum(rate({metric}{{@}}[{window}]))'


BOARD = Board(
    uid="dunlin-fleet",
    file="fleet",
    title="Dunlin: fleet",
    text="What workers do. Workers have no port: their figures come with their commits, so they are seen when a query ends.",
    rows=[
        Row(
            "Now",
            [
                stat(
                    "Tasks waiting",
                    "Tasks that could run now and that no worker has claimed: the signal to scale workers on.",
                    ("max(dunlin_tasks_pending{@})", "waiting"),
                    "short",
                    width=6,
                ),
                stat(
                    "Tasks running",
                    "Tasks that are claimed and not committed.",
                    ("max(dunlin_tasks_running{@})", "running"),
                    "short",
                    width=6,
                ),
                stat(
                    "Workers that listen",
                    "Workers that hold a request open at a gateway and wait for news of work, busy or not. Functions, and workers that reach no gateway, are not among them.",
                    ("sum(dunlin_workers_listening{@})", "workers"),
                    "short",
                    width=6,
                ),
                stat(
                    "Oldest query that waits",
                    "For how long the oldest open query has not moved.",
                    ("max(dunlin_oldest_pending_seconds{@})", "oldest"),
                    "s",
                    width=6,
                    steps=[(0, "green"), (30, "orange"), (60, "red")],
                ),
            ],
        ),
        Row(
            "Tasks",
            [
                lines(
                    "Waiting and running",
                    "If more tasks wait than run for long, more workers make queries faster.",
                    [("max(dunlin_tasks_pending{@})", "waiting"), ("max(dunlin_tasks_running{@})", "running")],
                    "short",
                    colours={"waiting": "orange", "running": "green"},
                ),
                lines(
                    "Tasks by pool",
                    "Tasks of each pool of workers that could run now, or run. Without a name: those that are for no pool.",
                    ("max by (pool) (dunlin_pool_tasks{@})", "{{pool}}"),
                    "short",
                ),
                lines(
                    "Attempts by outcome",
                    "Attempts of tasks that ended, a second. failed: the attempt wrote down why it failed, or was given back. lost: its worker died or froze.",
                    ("sum by (outcome) (rate(dunlin_tasks_total{@}[$__rate_interval]))", "{{outcome}}"),
                    "suffix: tasks/s",
                    stacked=True,
                    colours=OUTCOME,
                ),
                lines(
                    "Share failed and lost",
                    "Attempts that failed or were lost, among all. Their work is done twice.",
                    [
                        (share("dunlin_tasks_total", "outcome", "failed"), "failed"),
                        (share("dunlin_tasks_total", "outcome", "lost"), "lost"),
                    ],
                    "percentunit",
                    rare=True,
                    colours=OUTCOME,
                ),
                lines(
                    "Tasks of a query",
                    "Committed tasks for each query that ended on the fleet.",
                    (
                        'sum(rate(dunlin_tasks_total{@, outcome="committed"}[$__rate_interval])) / sum(rate(dunlin_queries_total{@, route="fleet"}[$__rate_interval]))',
                        "tasks",
                    ),
                    "short",
                ),
                lines(
                    "Workers that listen",
                    "By gateway. A worker listens at one gateway at a time.",
                    ("sum by (instance) (dunlin_workers_listening{@})", "{{instance}}"),
                    "short",
                    stacked=True,
                ),
                lines(
                    "Slots at work",
                    "Seconds that tasks took, a second: how many slots of workers were at work.",
                    ('sum(rate(dunlin_task_duration_seconds_sum{@, step="total"}[$__rate_interval]))', "slots"),
                    "short",
                ),
            ],
        ),
        Row(
            "Time of a task",
            [
                heatmap(
                    "Time of tasks",
                    "How many tasks took how long, from the claim to the commit.",
                    'sum by (le) (increase(dunlin_task_duration_seconds_bucket{@, step="total"}[$__rate_interval]))',
                    "s",
                ),
                lines(
                    "From claim to commit",
                    "Half, 95 and 99 of 100 tasks took no longer.",
                    quantiles("dunlin_task_duration_seconds", step="total"),
                    "s",
                ),
                lines(
                    "By step",
                    "Mean seconds of a task: waiting for its input, computing, writing its output.",
                    [
                        (
                            'sum by (step) (rate(dunlin_task_duration_seconds_sum{@, step=~"input|compute|output"}[$__rate_interval]))'
                            ' / sum by (step) (rate(dunlin_task_duration_seconds_count{@, step=~"input|compute|output"}[$__rate_interval]))',
                            "{{step}}",
                        )
                    ],
                    "s",
                    stacked=True,
                ),
            ],
        ),
        Row(
            "Work",
            [
                lines(
                    "Read from tables",
                    "Bytes of tables that workers read, a second.",
                    ("sum(rate(dunlin_scan_bytes_total{@}[$__rate_interval]))", "scanned"),
                    "Bps",
                ),
                lines(
                    "Spilled",
                    "Bytes that tasks wrote to local disks because their memory was short, a second.",
                    ("sum(rate(dunlin_spill_bytes_total{@}[$__rate_interval]))", "spilled"),
                    "Bps",
                ),
                lines(
                    "Calls of functions",
                    "Calls of AWS Lambda functions, a second, by what Lambda answered.",
                    ("sum by (result) (rate(dunlin_worker_calls_total{@}[$__rate_interval]))", "{{result}}"),
                    "suffix: calls/s",
                    stacked=True,
                    rare=True,
                    colours=CALLS,
                ),
                lines(
                    "Share of calls throttled",
                    "Calls that Lambda refused because too many run, among all.",
                    (share("dunlin_worker_calls_total", "result", "throttled"), "throttled"),
                    "percentunit",
                    rare=True,
                ),
                lines(
                    "Cold starts",
                    "Environments of functions that were started for tasks, a second.",
                    ("sum(rate(dunlin_worker_cold_starts_total{@}[$__rate_interval]))", "cold starts"),
                    "suffix: starts/s",
                ),
            ],
        ),
    ],
)
