"""report.md and result.json: what k6 found (summary.json), what the processes used, what was done to them."""

import json
import os

from . import k6, store
from .tools import read_text, write_text


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def process_table(figures):
    rows = [
        [name, f["first_mb"], f["peak_mb"], f["last_mb"], "-" if f["slope_mb_per_h"] is None else f["slope_mb_per_h"], f["cores"],
         f["threads"], f["fds"], f["starts"]]
        for name, f in sorted(figures.items())
    ]
    head = ["process", "first MB", "peak MB", "last MB", "MB/h, second half", "cores", "threads", "files", "starts"]
    return table(head, rows)


def request_table(asked, summary):
    """All requests that the store saw, and what S3 would take for them."""
    answered = max(summary["answered"], 1) if summary else 1
    seconds = max(summary["seconds"], 1) if summary else 1
    rows = [[name, n, f"{n / seconds:.1f}", f"{n / answered:.1f}", f"{n * store.price(name):.5f}"] for name, n in asked.items()]
    dollars = sum(n * store.price(name) for name, n in asked.items())
    total = sum(asked.values())
    rows.append(["all", total, f"{total / seconds:.1f}", f"{total / answered:.1f}", f"{dollars:.5f}"])
    rows.append(["dollars per answered query", "", "", "", f"{dollars / answered:.7f}"])
    return table(["API", "requests", "a second", "per answered query", "dollars at S3"], rows)


def write(out, facts, sampler, control, figures, asked):
    """Writes both files; returns the summary of k6, or None if it wrote none."""
    path = os.path.join(out, "summary.json")
    summary = json.loads(read_text(path)) if os.path.exists(path) else None
    result = dict(facts)
    text = [read_text(os.path.join(out, "summary.md"))] if summary else [f"# {facts['scenario']}\n\nk6 wrote no summary.\n"]
    if control and control.notes:
        result["notes"] = control.notes
        text += ["## Notes", table(["", ""], control.notes.items())]
    if control and control.faults:
        result["faults"] = control.faults
        rows = [[f["at_s"], f["what"], f["process"], f["took_s"]] for f in control.faults]
        text += ["## Faults", table(["at s", "", "process", "took s"], rows)]
    if sampler:
        result["processes"] = sampler.figures()
        sampler.write(os.path.join(out, "samples.csv"))
        text += ["## Processes", process_table(result["processes"])]
    asked = {name: count for name, count in sorted(asked.items()) if count > 0}
    if asked:
        result["requests"] = asked
        text += ["## Requests at the store", request_table(asked, summary)]
    if figures:
        result["metrics"] = figures
        text += ["## Metrics of the gateways, added up", table(["series", "value"], [[f"`{n}`", f"{v:g}"] for n, v in figures.items()])]
    text += ["## Run", table(["", ""], [[name, value] for name, value in facts.items() if name != "scenario"])]
    if summary:
        result["summary"] = {name: value for name, value in summary.items() if name != "metrics"}
    write_text(os.path.join(out, "report.md"), "\n\n".join(part.strip() for part in text) + "\n")
    write_text(os.path.join(out, "result.json"), json.dumps(result, indent=2) + "\n")
    return summary


def verdict(status, summary, late, may_break):
    """Why the run failed, as sentences; empty if it did not. `may_break` names metrics whose thresholds only end a run."""
    wrong = []
    if summary is None:
        return [f"k6 ended with status {status} and wrote no summary"]
    for name in ("wrong", "lost"):
        if summary[name] > 0:
            wrong.append(f"{summary[name]} {'answers were wrong' if name == 'wrong' else 'queries were lost'}")
    wrong += summary["failures"]
    broken = [t for t in summary["thresholds"] if not t["ok"]]
    wrong += [f"threshold broken: {t['metric']} {t['rule']}" for t in broken if t["metric"].split("{")[0] not in may_break]
    expected = status == 0 or (status == k6.THRESHOLDS_BROKEN and broken)
    if not expected and not wrong:
        wrong.append(f"k6 ended with status {status}")
    return wrong + late
