"""Asks a running Dunlin the 22 queries of TPC-H, and compares every answer with DuckDB's over the same Parquet files.

    tpch.py --url URL --data FOLDER --dunlin PROGRAM --report FILE [--until FILE]

The API key is in DUNLIN_API_KEY. The queries run on the fleet, two at a time, at least once each; with --until they go on,
round after round, until that file exists. While they run, gateways and workers may die: a query is sent with an
Idempotency-Key and sent again as docs/http-api.md tells, so each one must end with the right answer. Exits 1 if one does not.
"""

import argparse
import collections
import concurrent.futures
import csv
import decimal
import http.client
import io
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

QUERIES = range(1, 23)
TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
# The longest that one query may take, with all that happens meanwhile: a lease of 12 s, and restarts.
PATIENCE = 150
PAUSE = 0.5
AT_ONCE = 2
# DataFusion divides decimals to six digits, DuckDB makes them floats.
CLOSE = decimal.Decimal("0.00001")


class Gone(Exception):
    """The query did not end with an answer."""


def text_of(dunlin, number):
    return subprocess.run([dunlin, "tpch", "--query", str(number)], check=True, capture_output=True, text=True).stdout


def expected(data, texts):
    import duckdb

    database = duckdb.connect(config={"threads": 2})
    for table in TABLES:
        database.execute(f"create view {table} as select * from read_parquet('{data}/{table}/*.parquet')")
    return {number: database.execute(text).fetchall() for number, text in texts.items()}


def number(value):
    try:
        return decimal.Decimal(str(value))
    except decimal.InvalidOperation:
        return None


def same(ours, theirs):
    if theirs is None:
        return ours == ""
    if str(theirs) == ours:
        return True
    one, other = number(ours), number(theirs)
    return one is not None and other is not None and abs(one - other) <= CLOSE * max(1, abs(other) / 1_000_000)


def difference(ours, theirs):
    """The first difference between rows of text and DuckDB's, in the order of the answer; None if there is none."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, and DuckDB has {len(theirs)}"
    for index, (row, wanted) in enumerate(zip(ours, theirs)):
        if len(row) != len(wanted) or not all(map(same, row, wanted)):
            return f"row {index} is {row}, and DuckDB has {[str(value) for value in wanted]}"
    return None


class Client:
    def __init__(self, url, key):
        self.url, self.key = url.rstrip("/"), key
        # A proxy of the environment is not for loopback.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        # Why statements were sent again: the status (0: the connection ended), and how often.
        self.again = collections.Counter()

    def ask(self, method, path, body=None, headers=()):
        """The status, the headers and the body of an answer."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        request.add_header("Authorization", f"Bearer {self.key}")
        for name, value in dict(headers).items():
            request.add_header(name, value)
        try:
            with self.opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def rows(self, text):
        """The rows of a statement on the fleet. It is sent again, with the same key, when no gateway answered."""
        body = json.dumps({"sql": text, "settings": {"route": "fleet", "target_partitions": 3}}).encode()
        headers = {"Content-Type": "application/json", "Accept": "text/csv", "Idempotency-Key": str(uuid.uuid4()), "Prefer": "wait=60"}
        begun, why = time.monotonic(), "nothing was tried"
        while time.monotonic() - begun < PATIENCE:
            try:
                status, _, answer = self.ask("POST", "/v1/sql", body, headers)
            except (OSError, http.client.HTTPException) as error:  # no connection, or an answer that ended early
                status, answer = 0, repr(error).encode()
            if status == 200:
                found = list(csv.reader(io.StringIO(answer.decode())))
                return found[1:]
            why = f"{status}: {answer[:300].decode(errors='replace')}"
            if status not in (0, 202, 429, 500, 502, 503, 504) or not retryable(status, answer):
                break
            self.again[status] += 1
            time.sleep(PAUSE)
        raise Gone(why)


def retryable(status, answer):
    """A gateway's own error says whether another try can help. What a proxy says for a dead gateway is no JSON."""
    try:
        return status == 202 or bool(json.loads(answer).get("retryable", False))
    except (ValueError, AttributeError):
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("--url", "--data", "--dunlin", "--report"):
        parser.add_argument(name, required=True)
    parser.add_argument("--until")
    options = parser.parse_args()
    texts = {number: text_of(options.dunlin, number) for number in QUERIES}
    wanted = expected(options.data, texts)
    client = Client(options.url, os.environ["DUNLIN_API_KEY"])
    problems, times, asked, slowest = [], [], 0, (0.0, "")
    progress = open(options.report + ".progress", "w", encoding="utf-8")

    def one(number):
        begun = time.monotonic()
        try:
            problem = difference(client.rows(texts[number]), wanted[number])
        except Gone as error:
            problem = f"it did not end with an answer: {error}"
        print(number, file=progress, flush=True)
        return number, problem, time.monotonic() - begun

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            for number, problem, seconds in pool.map(one, QUERIES):
                asked += 1
                times.append(seconds)
                slowest = max(slowest, (round(seconds, 2), f"Q{number}"))
                if problem:
                    problems.append(f"Q{number}: {problem}")
            if problems or not options.until or os.path.exists(options.until):
                break
    report = {
        "queries": asked,
        "wrong": problems,
        "sent_again": client.again,
        "slowest": slowest,
        "seconds_median": round(sorted(times)[len(times) // 2], 2),
        "seconds_max": round(max(times), 2),
    }
    with open(options.report, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
    for problem in problems:
        print(f"tpch: {problem}", file=sys.stderr)
    print(
        f"tpch: {asked} queries, {len(problems)} wrong or without an answer, {client.again.total()} sent again by the client "
        f"{dict(client.again)}, median {report['seconds_median']} s, longest {slowest[0]} s ({slowest[1]})"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
