"""What can be checked without a running gateway: documents, dashboards, rules and their tests agree."""

import json
import re

import yaml

import grafana_types
from boards import ALL
from boards.overview import FAULTS
from catalogue import (
    CODES,
    DASHBOARDS,
    METRICS,
    OF_THE_SCRAPE,
    OPERATIONS,
    ROOT,
    RULES,
    TESTS,
    TROUBLES,
    Trouble,
    by_series,
    error_codes,
    headings,
    metrics,
    quotes,
    repository,
    sources,
)
from panels import grafana, text_of
from promql import read

SEVERITIES = {"critical", "warning"}
ANNOTATIONS = {"summary", "description", "runbook_url"}
# The series that Prometheus itself makes for each target.
OF_PROMETHEUS = {"up": {"job", "instance", "namespace"}}


def shown(path):
    return path.relative_to(ROOT).as_posix()


def rules():
    """Every rule of rules.yaml, in order."""
    loaded = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


# --- expressions --------------------------------------------------------------------------------------------


def wrong_in(expr, catalogue, recorded, codes):
    """Sentences about names in `expr` that nothing exports."""
    known, wrong = by_series(catalogue), []
    allowed, series = set(OF_THE_SCRAPE), read(expr)
    for one in series[0]:
        if one.name in recorded:
            allowed |= recorded[one.name]
            continue
        metric = known.get(one.name)
        if metric is None and one.name not in OF_PROMETHEUS:
            wrong.append(f"{one.name} is not in docs/metrics.md")
            continue
        labels = set(metric.labels) if metric else set(OF_PROMETHEUS[one.name])
        allowed |= labels
        for matcher in one.matchers:
            if matcher.label not in labels | OF_THE_SCRAPE:
                wrong.append(f"{one.name} has no label {matcher.label}")
                continue
            values = metric.labels.get(matcher.label, []) if metric else []
            if metric and metric.name == "dunlin_query_errors_total" and matcher.label == "code":
                values = codes
            wrong += [
                f'{one.name} has no {matcher.label}="{value}"' for value in matcher.values() if values and value not in values
            ]
    wrong += [f"none of its series has the label {label}" for label in sorted(series[1] - allowed)]
    return wrong


def recorded_labels(given):
    """Recorded series -> the labels that they may have."""
    return {rule["record"]: read(rule["expr"])[1] | set(rule.get("labels", {})) for rule in given if "record" in rule}


def expressions(catalogue):
    """Every name in panels and rules exists, and every documented metric is shown by a panel."""
    wrong, codes, given = [], error_codes(), rules()
    recorded = recorded_labels(given)
    used = set()
    for board in ALL:
        for row in board.rows:
            for panel in row.panels:
                for query in panel.queries:
                    expr = query.expr.replace("@", 'job=~"$job"')
                    place = f"dashboard {board.file}, panel '{panel.title}'"
                    wrong += [f"{place}: {what}" for what in wrong_in(expr, catalogue, {}, codes)]
                    used |= {one.name for one in read(expr)[0]}
    for rule in given:
        name = rule.get("alert") or rule["record"]
        wrong += [f"rules.yaml, {name}: {what}" for what in wrong_in(rule["expr"], catalogue, recorded, codes)]
    for metric in catalogue.values():
        if not used & set(metric.series()):
            wrong.append(f"{metric.name} is documented, and no panel shows it")
    return wrong


# --- dashboards ---------------------------------------------------------------------------------------------


def write_dashboards():
    DASHBOARDS.mkdir(exist_ok=True)
    for board in ALL:
        (DASHBOARDS / f"{board.file}.json").write_text(text_of(grafana(board)) + "\n", encoding="utf-8")


def dashboards():
    wrong = []
    names = {f"{board.file}.json" for board in ALL}
    wrong += [f"{shown(path)} belongs to no description" for path in sorted(DASHBOARDS.glob("*.json")) if path.name not in names]
    for key in ("uid", "file", "title"):
        values = [getattr(board, key) for board in ALL]
        wrong += [f"two dashboards have the {key} '{value}'" for value in sorted(set(values)) if values.count(value) > 1]
    for board in ALL:
        path = DASHBOARDS / f"{board.file}.json"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text != text_of(grafana(board)) + "\n":
            wrong.append(f"{shown(path)} is not what its description says; run: scripts/observability dashboards")
        for row in board.rows:
            titles = [panel.title for panel in row.panels]
            wrong += [
                f"dashboard {board.file}: two panels '{title}' in the row '{row.title}'"
                for title in set(titles)
                if titles.count(title) > 1
            ]
            for panel in row.panels:
                wrong += [f"dashboard {board.file}, panel '{panel.title}': {what}" for what in incomplete(panel)]
        if text:
            wrong += [f"{shown(path)}: {what}" for what in grafana_types.wrong_in(json.loads(text))]
    return wrong


def incomplete(panel):
    wrong = []
    if not panel.text.endswith("."):
        wrong.append("its description is not a sentence")
    if not panel.unit:
        wrong.append("it has no unit")
    legends = [query.legend for query in panel.queries]
    if panel.kind != "table" and not all(legends):
        wrong.append("an expression has no legend")
    if len(set(legends)) != len(legends):
        wrong.append("two expressions have the same legend")
    for query in panel.queries:
        grouped = read(query.expr.replace("@", ""))[1] | {"instance", "le", "version", "build"}
        wrong += [
            f"its legend shows {{{{{label}}}}}, which is not grouped by"
            for label in re.findall(r"{{(\w+)}}", query.legend)
            if label not in grouped
        ]
        if "rate(" in query.expr and "[$__r" not in query.expr and "[5m]" not in query.expr and "[1h]" not in query.expr:
            wrong.append("rate needs $__rate_interval")
    return wrong


# --- alerts -------------------------------------------------------------------------------------------------


def alerts():
    wrong, begin = [], f"{repository()}/blob/main/"
    pages = {shown(path): headings(path) for path in (OPERATIONS, TROUBLES)}
    given = [rule for rule in rules() if "alert" in rule]
    names = [rule["alert"] for rule in given]
    wrong += [f"rules.yaml has two alerts {name}" for name in sorted(set(names)) if names.count(name) > 1]
    for rule in given:
        place, notes = f"rules.yaml, {rule['alert']}", rule.get("annotations", {})
        if rule.get("labels", {}).get("severity") not in SEVERITIES:
            wrong.append(f"{place}: severity must be one of {', '.join(sorted(SEVERITIES))}")
        if set(notes) != ANNOTATIONS:
            wrong.append(f"{place}: the annotations must be {', '.join(sorted(ANNOTATIONS))}")
            continue
        page, _, anchor = notes["runbook_url"].removeprefix(begin).partition("#")
        if not notes["runbook_url"].startswith(begin) or page not in pages:
            wrong.append(f"{place}: runbook_url does not lead to a page of {begin}")
        elif pages[page].get(anchor) != rule["alert"]:
            wrong.append(f"{place}: {page} has no heading {rule['alert']}")
    runbooks = [text for text in headings(OPERATIONS).values() if re.fullmatch(r"Dunlin[A-Z]\w+", text)]
    wrong += [f"docs/operations.md explains {name}, which is no alert" for name in runbooks if name not in names]
    return wrong + untested(names)


def untested(names):
    """Every alert must fire in a unit test, and stay quiet in another."""
    fired, quiet = set(), set()
    for path in sorted(TESTS.glob("*.yaml")):
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for step in test.get("alert_rule_test", []):
                (fired if step.get("exp_alerts") else quiet).add(step["alertname"])
    wrong = [f"no unit test makes {name} fire" for name in names if name not in fired]
    wrong += [f"no unit test keeps {name} quiet" for name in names if name not in quiet]
    return wrong + [f"unit tests name {name}, which is no alert" for name in sorted((fired | quiet) - set(names))]


# --- documents ----------------------------------------------------------------------------------------------


def codes():
    """docs/troubleshooting.md explains every error code, and the lists of faults are the same everywhere."""
    known, explained = error_codes(), [text for text in headings(TROUBLES).values() if re.fullmatch(r"[A-Z_]{5,}", text)]
    wrong = [f"docs/troubleshooting.md has no heading {code} ({shown(CODES)})" for code in known if code not in explained]
    wrong += [f"docs/troubleshooting.md explains {code}, which is no error code" for code in explained if code not in known]
    in_rules = {
        matcher.value
        for rule in rules()
        for one in read(rule["expr"])[0]
        for matcher in one.matchers
        if matcher.label == "code" and "record" in rule
    }
    if in_rules != {FAULTS}:
        wrong.append("rules.yaml and boards/overview.py do not count the same codes as faults")
    listed = re.search(r"A \*\*fault\*\* is .*?one of (.*?)\.\n", METRICS.read_text(encoding="utf-8"), re.DOTALL)
    if not listed or set(re.findall(r"`([A-Z_]+)`", listed[1])) != set(FAULTS.split("|")):
        wrong.append("docs/metrics.md does not list the codes that rules.yaml counts as faults")
    return wrong


def quoted():
    """Every sentence that docs/troubleshooting.md quotes is in the sources."""
    text = sources()
    return [
        f"docs/troubleshooting.md quotes '{sentence}', and no source has '{piece}'"
        for sentence, pieces in quotes(TROUBLES)
        for piece in pieces
        if piece not in text
    ]


def links():
    """Every link of the documents to a file or a heading leads somewhere."""
    wrong = []
    for page in (METRICS, OPERATIONS, TROUBLES, ROOT / "infra/observability/README.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if target.startswith(("http://", "https://")):
                continue
            path, _, anchor = target.partition("#")
            place = (page.parent / path).resolve() if path else page
            if not place.exists():
                wrong.append(f"{shown(page)}: the link to {target} leads nowhere")
            elif anchor and place.suffix == ".md" and anchor not in headings(place):
                wrong.append(f"{shown(page)}: the link to {target} finds no such heading")
    return wrong


def everything():
    """The names of the checks, each with the sentences about what does not hold."""
    try:
        catalogue = metrics()
    except Trouble as trouble:
        return {"metrics": [str(trouble)]}
    return {
        f"{len(catalogue)} metrics": [],
        f"{len(ALL)} dashboards, {sum(len(row.panels) for board in ALL for row in board.rows)} panels": dashboards(),
        "names in expressions": expressions(catalogue),
        f"{sum('alert' in rule for rule in rules())} alerts": alerts(),
        f"{len(error_codes())} error codes": codes(),
        f"{sum(1 for _ in quotes(TROUBLES))} quoted sentences": quoted(),
        "links of the documents": links(),
    }
