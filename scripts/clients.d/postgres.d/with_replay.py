"""What BI tools ask a catalog for, as they send it: each file of `replay` is one tool's queries, with what must be in the
answers."""

import glob
import os
import subprocess

from processes import Failed

# Lines of a file: `-- expect: words` must be in the answer to the statement before it.
EXPECT = "-- expect:"


def check(fleet):
    port = fleet.gateways[0]["port"]
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "replay")
    wrong = []
    for path in sorted(glob.glob(os.path.join(here, "*.sql"))):
        for statement, expected in read(path):
            url = f"host=127.0.0.1 port={port} user=tests dbname=dunlin"
            command = ["psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            name = f"{os.path.basename(path)}: {' '.join(statement.split())[:140]}"
            if done.returncode != 0:
                wrong.append(f"{name}\n    {done.stderr.strip()[:600]}")
            for word in expected:
                if done.returncode == 0 and word not in done.stdout:
                    wrong.append(f"{name}\n    {word!r} is not in {done.stdout[:300]!r}")
    if wrong:
        raise Failed(f"{len(wrong)} catalog queries:\n  " + "\n  ".join(wrong))


def read(path):
    """Statements are separated by lines of `---`."""
    with open(path, encoding="utf-8") as file:
        parts = file.read().split("\n---\n")
    found = []
    for part in parts:
        lines = part.strip().splitlines()
        expected = [line[len(EXPECT) :].strip() for line in lines if line.startswith(EXPECT)]
        statement = "\n".join(line for line in lines if not line.startswith("--"))
        if statement.strip():
            found.append((statement, expected))
    return found
