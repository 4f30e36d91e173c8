"""Runs a command at a terminal of its own and does to it what a person does.

    terminal.py COLUMNS ROWS COMMAND…     with steps as JSON on standard input:
    [["see", "dunlin> "], ["type", "select 1;\\r"], ["see", "1 row"], ["touch", "file"], ["end"]]

"see" waits until the text has been printed after what was seen before; escape sequences are left out. "touch" makes a file, for
whoever waits for it. "end" waits until the command ends. The transcript is printed, and the exit code is that of the command, or 99 if it did not do as expected.
"""

import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time

PATIENCE = 60
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07")


def main():
    columns, rows = int(sys.argv[1]), int(sys.argv[2])
    steps = json.load(sys.stdin)
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(sys.argv[3], sys.argv[3:])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    printed, seen, trouble = "", 0, None
    raw = b""

    def read(until):
        nonlocal raw, printed
        ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return time.monotonic() < until
        try:
            raw += os.read(terminal, 65536)
        except OSError:
            return False
        printed = ESCAPES.sub("", raw.decode("utf-8", "replace"))
        return True

    for step in steps:
        until = time.monotonic() + PATIENCE
        if step[0] == "type":
            os.write(terminal, step[1].encode())
        elif step[0] == "see":
            while (at := printed.find(step[1], seen)) < 0:
                if not read(until):
                    trouble = f"not seen: {step[1]!r}"
                    break
            if trouble:
                break
            seen = at + len(step[1])
        elif step[0] == "touch":
            open(step[1], "w", encoding="utf-8").close()
        elif step[0] == "end":
            while read(until):
                pass
    print(printed)
    if trouble:
        os.kill(child, 9)
    _, status = os.waitpid(child, 0)
    if trouble:
        print(f"\n{trouble}\nafter: {printed[seen:]!r}", file=sys.stderr)
        sys.exit(99)
    sys.exit(os.waitstatus_to_exitcode(status) % 256)


main()
