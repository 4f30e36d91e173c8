"""psql: its backslash commands, \\copy, cursors, Ctrl+C, passwords and TLS."""

import os
import pty
import select
import signal
import subprocess
import time
import urllib.request
import json

from asked import NATIONS, ORDERS, holds, same
from processes import Failed


def psql(port, *arguments, user="tests", env=None, check=True, stdin=None):
    url = f"host=localhost port={port} user={user} dbname=dunlin"
    command = ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", url, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, input=stdin, env={**os.environ, **(env or {})})
    if check and done.returncode != 0:
        raise Failed(f"psql {' '.join(arguments)}: {done.stderr.strip()}")
    return done


def check(fleet):
    port = fleet.gateways[0]["port"]

    def text(sql, *more):
        return psql(port, "-At", *more, "-c", sql).stdout.strip()

    same("a count", text("select count(*) from orders"), str(ORDERS))
    same("two statements", text("select 1; select 2"), "1\n2")
    listed = psql(port, "-c", "\\dt").stdout
    holds("\\dt", listed, "public", "lineitem", "orders", "table")
    described = psql(port, "-c", "\\d orders").stdout
    holds("\\d orders", described, "o_orderkey", "bigint", "numeric", "date", "o_comment")
    holds("\\d", psql(port, "-c", "\\d").stdout, "customer", "region")
    holds("\\d+ nation", psql(port, "-c", "\\d+ nation").stdout, "n_name", "text")
    holds("\\l", psql(port, "-c", "\\l").stdout, "dunlin", "UTF-8")
    holds("\\dn", psql(port, "-c", "\\dn").stdout, "public")
    psql(port, "-c", "\\df")
    psql(port, "-c", "\\dv")
    psql(port, "-c", "\\di")
    holds("\\du", psql(port, "-c", "\\du").stdout, "dunlin")
    holds("\\conninfo", psql(port, "-c", "\\conninfo").stdout, str(port))
    holds("\\timing", psql(port, "-c", "\\timing on", "-c", "select 1").stdout, "Time:")
    copies(fleet, port)
    sessions(port, text)
    on_the_fleet(fleet, port)
    interrupted(fleet, port)
    logins(fleet)


def copies(fleet, port):
    path = os.path.join(fleet.work, "copied.csv")
    psql(port, "-c", f"\\copy (select n_nationkey, n_name from nation order by 1) to '{path}' csv header")
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    same("\\copy", (len(lines), lines[0], lines[1]), (NATIONS + 1, "n_nationkey,n_name", "0,ALGERIA"))
    psql(port, "-c", f"\\copy nation to '{path}'")
    with open(path, encoding="utf-8") as file:
        same("\\copy of a table", len(file.read().splitlines()), NATIONS)


def sessions(port, text):
    cursor = "begin; declare c cursor for select n_name from nation order by 1; fetch 2 from c; close c; commit"
    same("a cursor", text(cursor).splitlines(), ["BEGIN", "DECLARE CURSOR", "ALGERIA", "ARGENTINA", "CLOSE CURSOR", "COMMIT"])
    same("FETCH_COUNT", len(text("select l_orderkey from lineitem limit 2500", "-v", "FETCH_COUNT=100").splitlines()), 2500)
    described = psql(port, "-At", "-f", "-", stdin="select 1::bigint as a, 'x' as b \\gdesc\n").stdout
    same("\\gdesc", described.splitlines(), ["a|bigint", "b|text"])
    wrong = psql(port, "-c", "select o_orderkye from orders", check=False)
    holds("an error", wrong.stderr, "did you mean o_orderkey", "LINE 1: select o_orderkye from orders", "               ^")


def on_the_fleet(fleet, port):
    sql = "select o_orderpriority, count(*) from orders group by 1 order by 1"
    expected = psql(port, "-At", "-c", sql).stdout
    done = psql(port, "-At", "-q", "-c", "set dunlin.route = 'fleet'", "-c", sql)
    same("an answer of the fleet", done.stdout, expected)
    holds("its notice", done.stderr, "NOTICE:  query ", "fleet, 5 rows", "tasks")
    query = next(word for word in done.stderr.replace(":", " ").split() if word.count("-") == 4)
    with urllib.request.urlopen(f"{fleet.gateways[1]['http']}/v1/queries/{query}") as answer:
        same("its status at the other gateway", json.load(answer)["status"], "SUCCEEDED")


def interrupted(fleet, port):
    """Ctrl+C ends the statement, and psql goes on, which it does on a terminal only."""
    sql = "select count(*) from lineitem a, lineitem b, lineitem c where a.l_comment || b.l_comment = c.l_comment"
    for route in ("inline", "fleet"):
        url = f"host=localhost port={port} user=tests dbname=dunlin"
        near, far = pty.openpty()
        command = ["psql", "-X", "-n", "-P", "pager=off", "-d", url]
        process = subprocess.Popen(command, stdin=far, stdout=far, stderr=far, start_new_session=True)
        os.close(far)
        os.write(near, f"set dunlin.route = '{route}';\n{sql};\n".encode())
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        said = reads_until(near, "canceling statement due to user request", "")
        os.write(near, b"select 'still ' || 'here';\n")
        reads_until(near, "still here", said)
        os.write(near, b"\\q\n")
        process.wait(timeout=30)
        os.close(near)


def reads_until(terminal, words, said):
    """Reads a terminal until it shows `words`."""
    deadline = time.monotonic() + 30
    while words not in said:
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise Failed(f"Ctrl+C: {words!r} is missing in:\n{said}")
        said += os.read(terminal, 65536).decode(errors="replace")
    return said


def logins(fleet):
    port = fleet.gateways[2]["port"]
    secret = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": fleet.ca}
    query = ["-At", "-c", "select current_user"]
    scram = psql(port, *query, user="ci", env={**secret, "PGPASSWORD": fleet.key})
    same("SCRAM over TLS", scram.stdout.strip(), "ci")
    word = psql(port, *query, user="anything", env={**secret, "PGPASSWORD": fleet.plain_key})
    same("a key as a password over TLS", word.stdout.strip(), "plain")
    for user, env, says in [
        ("ci", {**secret, "PGPASSWORD": "wrong"}, "password authentication failed"),
        ("ci", {**secret, "PGPASSWORD": fleet.plain_key}, "password authentication failed"),
        ("ci", {"PGSSLMODE": "disable", "PGPASSWORD": fleet.key}, "TLS only"),
    ]:
        done = psql(port, *query, user=user, env=env, check=False)
        holds("a refusal", done.stderr, says)
    may_not = psql(port, "-c", "create table t as select 1 as a", user="x", env={**secret, "PGPASSWORD": fleet.plain_key}, check=False)
    holds("a key that may not write", may_not.stderr, "scope write")
    made = psql(port, "-c", "create table made as select n_name from nation", user="ci", env={**secret, "PGPASSWORD": fleet.key})
    same("a table that is made", made.stdout.strip(), f"SELECT {NATIONS}")
