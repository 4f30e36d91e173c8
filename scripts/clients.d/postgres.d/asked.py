"""What the checks of all clients share."""

import subprocess

from processes import Failed

# Of TPC-H at scale 0.01, which is the same everywhere.
ORDERS = 15000
NATIONS = 25


def same(what, found, expected):
    if found != expected:
        raise Failed(f"{what}: {found!r} instead of {expected!r}")


def holds(what, found, *parts):
    for part in parts:
        if part not in found:
            raise Failed(f"{what}: {part!r} is missing in:\n{found}")


def shortened(text):
    """The lines that say what was wrong: statements of a thousand letters are not among them."""
    return "\n".join(line[:300] for line in text.splitlines()[-60:])


def call(what, command, **options):
    """Runs a program of a client, which prints `ok` last if everything was right."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)
    if done.returncode != 0 or not done.stdout.strip().endswith("ok"):
        raise Failed(f"{what}:\n{done.stdout[-2000:]}\n{shortened(done.stderr)}")
    return done
