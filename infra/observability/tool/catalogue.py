"""What the documents and the sources say: metrics, error codes, headings."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
METRICS = ROOT / "docs/metrics.md"
TROUBLES = ROOT / "docs/troubleshooting.md"
OPERATIONS = ROOT / "docs/operations.md"
RULES = ROOT / "infra/observability/rules.yaml"
TESTS = ROOT / "infra/observability/tests"
DASHBOARDS = ROOT / "infra/observability/dashboards"
# Where the codes are declared, one a line: `Name = "CODE",`.
CODES = ROOT / "manifest/src/model/error_code.rs"
# The crates that people run.
CRATES = ("manifest", "shuffle", "plan", "planner", "stage-worker", "gateway", "cli")
# A histogram has these series.
PARTS = ("_bucket", "_sum", "_count")
# Labels that Prometheus adds, and those of a scrape in Kubernetes.
OF_THE_SCRAPE = {"job", "instance", "namespace", "le"}


class Trouble(Exception):
    """Something that does not hold, as a sentence."""


@dataclass
class Metric:
    name: str
    kind: str
    # The values that a label may have; an empty list: the text says which.
    labels: dict = field(default_factory=dict)

    def series(self):
        return [self.name + part for part in PARTS] if self.kind == "histogram" else [self.name]


def _label_values(cell):
    labels = {}
    for part in filter(None, (text.strip() for text in cell.split(";"))):
        found = re.match(r"((?:`\w+`(?:, )?)+)(?::\s*(.*))?$", part)
        if not found:
            raise Trouble(f"docs/metrics.md: the labels '{cell}' cannot be read; write `label`: `value`, `value`; `label`: text")
        # A list of values begins with one. Anything else is a text.
        values = re.findall(r"`([^`]+)`", found[2]) if (found[2] or "").startswith("`") else []
        for name in re.findall(r"`(\w+)`", found[1]):
            labels[name] = values
    return labels


def metrics():
    """The table of docs/metrics.md: name -> Metric."""
    found = {}
    for line in METRICS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("| `") or len(cells) < 4:
            continue
        name = cells[0].strip("`")
        if not re.fullmatch(r"(dunlin|process)_\w+", name):
            continue
        if len(cells) != 6:
            raise Trouble(f"docs/metrics.md: the line of {name} has {len(cells)} columns instead of 6")
        if name in found:
            raise Trouble(f"docs/metrics.md lists {name} twice")
        if cells[1] not in ("gauge", "counter", "histogram"):
            raise Trouble(f"docs/metrics.md: {name} is a '{cells[1]}'; write gauge, counter or histogram")
        if not cells[4] or not cells[5]:
            raise Trouble(f"docs/metrics.md: {name} has no meaning, or does not say when it changes")
        found[name] = Metric(name, cells[1], _label_values(cells[2]))
    if not found:
        raise Trouble("docs/metrics.md has no table of metrics")
    return found


def by_series(catalogue):
    """Name of a series -> Metric."""
    return {series: metric for metric in catalogue.values() for series in metric.series()}


def error_codes():
    """Every code that the sources declare."""
    source = CODES.read_text(encoding="utf-8")
    inside = re.search(r"^error_codes! \{$(.*?)^\}$", source, re.DOTALL | re.MULTILINE)
    found = re.findall(r'^\s+\w+ = "([A-Z_]+)",$', inside[1], re.MULTILINE) if inside else []
    if len(found) < 10:
        raise Trouble(f"{CODES.relative_to(ROOT)}: the codes cannot be found; has error_codes! a new form?")
    return found


def sources():
    """The text of all sources, with the parts of long strings joined."""
    files = [path for crate in CRATES for path in sorted((ROOT / crate).rglob("*.rs")) if "target" not in path.parts]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r"\\\n\s*", "", text).replace('\\"', '"')


def quotes(path):
    """The sentences of Dunlin that a document quotes: lines that begin with `> `, in pieces between the variable parts."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("> "):
            yield line[2:], [piece.strip(" ;:,'") for piece in line[2:].split("…") if len(piece.strip(" ;:,'")) > 3]


def repository():
    found = re.search(r'^repository = "([^"]+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise Trouble("Cargo.toml has no repository, which the links of the alerts begin with")
    return found[1]


def headings(path):
    """The headings of a document: anchor -> text, as GitHub makes anchors."""
    anchors, fenced = {}, False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        found = re.match(r"#{1,6} (.+)$", line)
        if fenced or not found:
            continue
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", found[1])
        base = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        anchor, number = base, 0
        while anchor in anchors:
            number += 1
            anchor = f"{base}-{number}"
        anchors[anchor] = text.replace("`", "")
    return anchors
