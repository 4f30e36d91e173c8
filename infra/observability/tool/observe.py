"""The commands behind scripts/observability.

observe.py dashboards             writes the dashboards
observe.py check                  checks documents, dashboards, rules
observe.py ...                    live.py has the rest
"""

import sys

import check


def main(arguments):
    match arguments:
        case ["dashboards"]:
            check.write_dashboards()
            return 0
        case ["check"]:
            results = check.everything()
        case ["classic" | "config" | "emitted" | "panels", *_]:
            import live

            results = live.run(arguments)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    for name, wrong in results.items():
        print(f"  {'ok' if not wrong else 'WRONG'}: {name}")
        for what in wrong:
            print(f"      {what}")
    return 1 if any(results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
