"""Small things that every part of the runner uses."""

import os
import socket
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOADTESTS = os.path.join(ROOT, "loadtests")
WORK = os.path.join(ROOT, "target", "loadtests")


class Failure(Exception):
    """What went wrong, as a sentence that says what to do."""


def say(text):
    print(f"loadtest: {text}", file=sys.stderr, flush=True)


def wait_until(what, seconds, holds, pause=0.05):
    """Waits until `holds()` is true; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise Failure(f"{what} within {seconds} s")
        time.sleep(pause)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def tail(path, lines=15):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])
    except OSError:
        return ""


def shown(path):
    """A path as the user would type it: relative to the repository where it is inside of it."""
    inside = os.path.relpath(path, ROOT)
    return path if inside.startswith("..") else inside


def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write_text(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
