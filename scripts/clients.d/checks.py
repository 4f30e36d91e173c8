"""What the checks of several clients share: they run one after the other, and each is reported."""

import sys
import time

# Rows of TPC-H at scale 0.01.
ROWS = {"lineitem": 60175, "orders": 15000, "customer": 1500, "nation": 25, "region": 5}
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def same(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, and not {wanted!r}")


def refused(words, function):
    """The function fails with an error that has these words."""
    try:
        function()
    except Exception as error:  # noqa: BLE001: any error of any client
        text = str(error)
        for word in words:
            if word not in text:
                raise AssertionError(f"the error has no {word!r}: {text}") from error
        return error
    raise AssertionError(f"nothing was refused; wanted {words}")


def run_all():
    """Runs every check, and ends the program."""
    failed = 0
    for function in CHECKS:
        name = function.__name__.replace("_", " ")
        began = time.monotonic()
        try:
            function()
            print(f"  {name}: {time.monotonic() - began:.1f} s", flush=True)
        except Exception as error:  # noqa: BLE001: all checks are run
            failed += 1
            print(f"  {name}: FAILED: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    print(f"  {len(CHECKS) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
