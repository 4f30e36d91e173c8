"""Running gateways and a real Prometheus.

config FOLDER URL...              writes FOLDER/prometheus.yml and rules.yaml: scrapes the URLs each second
panels PROMETHEUS SECONDS URL...  every panel's query and every rule, until all have data or SECONDS are over
classic FILE...                   rewrites texts of /metrics in the format that promtool reads
emitted FILE...                   texts of /metrics, one of each gateway, against the table of docs/metrics.md
"""

import json
import math
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from boards import ALL
from catalogue import RULES, by_series, error_codes, metrics

# What the variables of a dashboard stand for when Grafana asks for an hour. Two scrapes need not see a query end, so
# rates are taken over more than four of them.
VARIABLES = {"$__rate_interval": "60s", "$__range": "1h", "@": 'namespace=~".*", job=~".*"'}
ASK_SECONDS = 10
PAUSE_SECONDS = 1
# So many scrapes of each gateway make a rate.
SCRAPES = 5
# Loopback needs no proxy.
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))

SAMPLE = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?")
LABEL = re.compile(r'(\w+)="((?:\\.|[^"\\])*)"')


# --- configuration ------------------------------------------------------------------------------------------


def configure(folder, urls):
    jobs = []
    for number, url in enumerate(urls, 1):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            return [f"'{url}' is no address; give for example http://127.0.0.1:9090/metrics"]
        jobs.append(
            {
                "job_name": f"dunlin-{number}",
                "scheme": parts.scheme,
                "metrics_path": parts.path or "/metrics",
                # One name for all, as an installation has.
                "relabel_configs": [{"target_label": "job", "replacement": "dunlin"}],
                "static_configs": [{"targets": [parts.netloc]}],
            }
        )
    text = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": jobs,
    }
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(text, indent=1), encoding="utf-8")
    shutil.copy(RULES, folder / "rules.yaml")
    return []


# --- panels and rules ---------------------------------------------------------------------------------------


def ask(prometheus, path, **parameters):
    url = f"{prometheus}/api/v1/{path}"
    if parameters:
        url += "?" + urllib.parse.urlencode(parameters)
    try:
        with HTTP.open(url, timeout=ASK_SECONDS) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise ValueError(json.load(error).get("error", str(error))) from None


def numbers(prometheus, expr):
    """The numbers that an expression gives now, without NaN."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    data = ask(prometheus, "query", query=expr)
    if data["resultType"] == "scalar":
        found = [data["result"]]
    else:
        found = [one["value"] for one in data["result"]]
    return [number for number in (float(text) for _, text in found) if not math.isnan(number)]


class Shown:
    """What every panel and every recorded series has shown so far."""

    def __init__(self, prometheus):
        self.prometheus = prometheus
        self.wrong = []
        # Place of an expression -> expression, for those without data so far.
        self.empty = {
            f"dashboard {board.file}, panel '{panel.title}', {query.legend or 'rows'}": (query.expr, panel.rare)
            for board in ALL
            for row in board.rows
            for panel in row.panels
            for query in panel.queries
        }
        self.all = len(self.empty)
        self.zero = set()

    def look(self):
        for place, (expr, _) in list(self.empty.items()):
            try:
                found = numbers(self.prometheus, expr)
            except ValueError as error:
                self.wrong.append(f"{place}: {error}")
                del self.empty[place]
                continue
            if found:
                del self.empty[place]
                if not any(found):
                    self.zero.add(place)

    def missing(self):
        return [place for place, (_, rare) in self.empty.items() if not rare]

    def ends(self):
        """Numbers at the end: a line that was zero at first may have moved."""
        for place in sorted(self.zero):
            expr = next(
                query.expr
                for board in ALL
                for row in board.rows
                for panel in row.panels
                for query in panel.queries
                if place == f"dashboard {board.file}, panel '{panel.title}', {query.legend or 'rows'}"
            )
            if any(numbers(self.prometheus, expr)):
                self.zero.discard(place)


def scraped(prometheus, urls):
    """How often the gateway that was scraped least has been scraped; trouble of a target as a text."""
    counts = ask(prometheus, "query", query='count_over_time(up{job="dunlin"}[10m])')["result"]
    targets = ask(prometheus, "targets", state="active")["activeTargets"]
    trouble = [f"{one['scrapeUrl']}: {one['lastError']}" for one in targets if one["lastError"]]
    least = min((int(one["value"][1]) for one in counts), default=0)
    return (least if len(counts) == len(urls) else 0), trouble


def rules_of(prometheus):
    """What is wrong with rules, and which alerts' conditions are true."""
    wrong, true = [], []
    for group in ask(prometheus, "rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] != "ok":
                wrong.append(f"rules.yaml, {rule['name']}: {rule.get('lastError') or rule['health']}")
            elif rule["type"] == "recording" and not numbers(prometheus, rule["name"]):
                wrong.append(f"rules.yaml, {rule['name']}: it has no value")
            elif rule["type"] == "alerting" and rule["alerts"]:
                true.append(rule["name"])
    return wrong, true


def watch(prometheus, seconds, urls):
    end, shown, trouble = time.monotonic() + seconds, Shown(prometheus), []
    rules_wrong = ["no rule was evaluated"]
    while True:
        scrapes, trouble = scraped(prometheus, urls)
        if scrapes >= SCRAPES and not trouble:
            shown.look()
            rules_wrong, true = rules_of(prometheus)
            if not shown.missing() and not rules_wrong:
                break
        if time.monotonic() >= end:
            break
        time.sleep(PAUSE_SECONDS)
    if scrapes < SCRAPES or trouble:
        return {"scrapes": trouble or [f"only {scrapes} scrapes of a gateway in {seconds} s"]}
    shown.ends()
    for place in sorted(shown.zero):
        print(f"  only zero: {place}")
    for place, (_, rare) in sorted(shown.empty.items()):
        if rare:
            print(f"  rare, no data: {place}")
    for name in sorted(set(true)):
        print(f"  the condition of the alert {name} is true")
    return {
        f"{scrapes} scrapes of {len(urls)} gateways": [],
        f"{shown.all} expressions of panels": shown.wrong + [f"{place}: no data within {seconds} s" for place in shown.missing()],
        "rules": rules_wrong,
    }


# --- what gateways emit -------------------------------------------------------------------------------------


def classic(text):
    """OpenMetrics in the older text format, which promtool reads: counters and infos are named as their samples."""
    if not text.endswith("# EOF\n"):
        return text
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    endings = {"counter": "_total", "info": "_info"}
    lines = []
    for line in text.splitlines():
        if line.startswith(("# TYPE ", "# HELP ")):
            _, word, name, rest = line.split(" ", 3)
            rest = "gauge" if word == "TYPE" and rest == "info" else rest
            line = f"# {word} {name}{endings.get(kinds.get(name), '')} {rest}"
        if line != "# EOF" and not line.startswith("# UNIT "):
            lines.append(line)
    return "\n".join(lines) + "\n"


def read_text(text):
    """The types and the samples of a text of /metrics."""
    types, samples, wrong = {}, [], []
    for line in classic(text).splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(maxsplit=3)
            types[name] = kind
        elif line and not line.startswith("#"):
            found = SAMPLE.fullmatch(line)
            if found:
                samples.append((found["name"], dict(LABEL.findall(found["labels"] or ""))))
            else:
                wrong.append(f"a line cannot be read: {line[:80]}")
    return types, samples, wrong


def emitted(paths):
    catalogue = metrics()
    series, codes, seen, wrong = by_series(catalogue), error_codes(), set(), []
    for path in paths:
        types, samples, unread = read_text(path.read_text(encoding="utf-8"))
        wrong += unread
        for name, kind in types.items():
            metric = catalogue.get(name)
            if metric and kind != metric.kind:
                wrong.append(f"{name} is a {kind}, and docs/metrics.md says {metric.kind}")
            # A metric whose labels have no value yet has a type and no sample.
            seen.add(name)
        for name, labels in samples:
            metric = series.get(name)
            if metric is None:
                if name.startswith(("dunlin_", "process_")):
                    wrong.append(f"{name} is emitted, and docs/metrics.md does not list it")
                continue
            seen.add(metric.name)
            given = set(labels) - {"le"}
            if given != set(metric.labels):
                wrong.append(f"{name} has the labels {sorted(given)}, and docs/metrics.md says {sorted(metric.labels)}")
            for label, value in labels.items():
                allowed = codes if (metric.name, label) == ("dunlin_query_errors_total", "code") else metric.labels.get(label, [])
                if allowed and value not in allowed:
                    wrong.append(f'{name} has {label}="{value}", which docs/metrics.md does not list')
    wrong += [f"{name} is in docs/metrics.md, and no gateway emits it" for name in catalogue if name not in seen]
    return {f"{len(catalogue)} metrics of docs/metrics.md against {len(paths)} gateways": sorted(set(wrong))}


def run(arguments):
    match arguments:
        case ["config", folder, *urls] if urls:
            return {"addresses": configure(Path(folder), urls)}
        case ["panels", prometheus, seconds, *urls] if urls:
            return watch(prometheus, int(seconds), urls)
        case ["classic", *paths] if paths:
            for path in map(Path, paths):
                path.write_text(classic(path.read_text(encoding="utf-8")), encoding="utf-8")
            return {}
        case ["emitted", *paths] if paths:
            return emitted([Path(path) for path in paths])
        case _:
            return {"arguments": [f"cannot be understood: {' '.join(arguments)}"]}
