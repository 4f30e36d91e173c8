"""Words to describe dashboards with, and their form as Grafana's JSON.

A board (boards/*.py) is a list of rows, a row a list of panels, a panel a few expressions. In an expression `@` stands
for the labels that the variables at the top of each dashboard choose.
"""

import json
from dataclasses import dataclass, field

# Grafana's version of the schema: that of 11.6. Newer versions read it, too.
SCHEMA_VERSION = 41
SELECTED = 'namespace=~"$namespace", job=~"$job"'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
TAG = "dunlin"
WIDTH = 24
# Lines up to this long are not broken.
LINE = 280


@dataclass
class Query:
    """One expression and what its lines are called."""

    expr: str
    legend: str


@dataclass
class Panel:
    kind: str
    title: str
    text: str
    queries: list
    unit: str
    width: int = 8
    height: int = 8
    # Events that a healthy installation under load need not have: the panel may be empty.
    rare: bool = False
    # Asked once, for the end of the time that is shown: expressions over all of it.
    instant: bool = False
    stacked: bool = False
    decimals: int | None = None
    # (value from which on, colour), the lowest first; stat only.
    steps: list = field(default_factory=list)
    # Fixed colours by the name of the line.
    colours: dict = field(default_factory=dict)
    # Columns of a table: (label, heading), in order.
    columns: list = field(default_factory=list)
    most: float | None = None


@dataclass
class Row:
    title: str
    panels: list


@dataclass
class Board:
    uid: str
    file: str
    title: str
    text: str
    rows: list
    window: str = "now-1h"


def queries(given):
    return [Query(expr, legend) for expr, legend in ([given] if isinstance(given, tuple) else given)]


def stat(title, text, given, unit, **more):
    return Panel("stat", title, text, queries(given), unit, **{"width": 4, "height": 5, **more})


def lines(title, text, given, unit, **more):
    return Panel("timeseries", title, text, queries(given), unit, **more)


def heatmap(title, text, expr, unit, **more):
    return Panel("heatmap", title, text, queries((expr, "{{le}}")), unit, **more)


def table(title, text, expr, columns, **more):
    return Panel("table", title, text, queries((expr, "")), "short", columns=columns, **more)


def quantiles(metric, by="", **labels):
    """p50, p95 and p99 of a histogram, apart by the label `by` if it is given."""
    chosen = "".join(f', {name}="{value}"' for name, value in labels.items())
    group = f"{by}, le" if by else "le"
    prefix = f"{{{{{by}}}}} " if by else ""
    rate = f"sum by ({group}) (rate({metric}_bucket{{@{chosen}}}[$__rate_interval]))"
    return [(f"histogram_quantile({q}, {rate})", f"{prefix}p{int(q * 100)}") for q in (0.5, 0.95, 0.99)]


# --- JSON ---------------------------------------------------------------------------------------------------


def _target(panel, query, number):
    instant = panel.instant or panel.kind == "table"
    forms = {"table": "table", "heatmap": "heatmap"}
    return {
        "refId": chr(ord("A") + number),
        "editorMode": "code",
        "expr": query.expr.replace("@", SELECTED),
        "legendFormat": query.legend,
        "format": forms.get(panel.kind, "time_series"),
        "instant": instant,
        "range": not instant,
    }


def _options(panel):
    if panel.kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value" if panel.steps else "none",
            "graphMode": "none" if panel.instant else "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
            "wideLayout": True,
            "showPercentChange": False,
        }
    if panel.kind == "heatmap":
        return {
            "calculate": False,
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 64, "reverse": False, "fill": "blue", "exponent": 0.5},
            "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
            "cellValues": {"unit": "short"},
            "legend": {"show": True},
            "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": True},
            "filterValues": {"le": 1e-9},
            "showValue": "never",
            "cellGap": 1,
        }
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": panel.columns[0][1], "desc": False}]}
    one_line = len(panel.queries) == 1 and "{{" not in panel.queries[0].legend
    return {
        "legend": {
            "showLegend": True,
            "displayMode": "list" if one_line else "table",
            "placement": "bottom",
            "calcs": [] if one_line else ["mean", "max", "lastNotNull"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _fields(panel):
    defaults = {"unit": panel.unit, "color": {"mode": "palette-classic"}}
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.most is not None:
        defaults["max"] = panel.most
    if panel.kind == "stat":
        steps = panel.steps or [(None, "text")]
        defaults["color"] = {"mode": "thresholds"}
        defaults["noValue"] = "no data"
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"value": None if place == 0 else value, "color": colour} for place, (value, colour) in enumerate(steps)],
        }
    if panel.kind == "timeseries":
        defaults["min"] = 0
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
    if panel.kind == "table":
        defaults["custom"] = {"align": "left"}
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in panel.colours.items()
    ]
    return {"defaults": defaults, "overrides": overrides}


def _transformations(panel):
    if panel.kind != "table":
        return []
    names = [name for name, _ in panel.columns]
    return [
        {"id": "filterFieldsByName", "options": {"include": {"names": names}}},
        {
            "id": "organize",
            "options": {
                "indexByName": {name: place for place, name in enumerate(names)},
                "renameByName": dict(panel.columns),
                "excludeByName": {},
            },
        },
    ]


def _panel(panel, number, x, y):
    made = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "datasource": DATASOURCE,
        "targets": [_target(panel, query, place) for place, query in enumerate(panel.queries)],
        "fieldConfig": _fields(panel),
        "options": _options(panel),
    }
    if changes := _transformations(panel):
        made["transformations"] = changes
    return made


def _place(rows):
    """Rows from the top down, panels from left to right; a panel that does not fit goes to the next line."""
    made, number, y = [], 0, 0
    for row in rows:
        number += 1
        made.append(
            {
                "id": number,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            }
        )
        y, x, tallest = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            made.append(_panel(panel, number, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return made


def _variable(name, label, of, text):
    everything = {"selected": True, "text": "All", "value": "$__all"}
    return {
        "type": "query",
        "name": name,
        "label": label,
        "description": text,
        "datasource": DATASOURCE,
        "query": {"query": of, "refId": name},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": False,
        "includeAll": True,
        "allValue": ".*",
        "current": everything,
    }


def _variables():
    return [
        {
            "type": "datasource",
            "name": "datasource",
            "label": "Prometheus",
            "description": "The Prometheus that reads the gateways",
            "query": "prometheus",
            "refresh": 1,
            "hide": 0,
            "multi": False,
            "includeAll": False,
            "current": {},
        },
        _variable(
            "namespace", "Namespace", "label_values(dunlin_build_info, namespace)", "Namespace of Kubernetes; empty elsewhere"
        ),
        _variable(
            "job",
            "Installation",
            'label_values(dunlin_build_info{namespace=~"$namespace"}, job)',
            "Job of Prometheus: one for each installation",
        ),
    ]


def grafana(board):
    """The board as Grafana reads it."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.text,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": board.window, "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards",
                "title": "Dunlin",
                "tags": [TAG],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "The other dashboards of Dunlin",
                "url": "",
            }
        ],
        "panels": _place(board.rows),
    }


def text_of(value, depth=0):
    """JSON that people can compare line by line: what fits into a line is one line."""
    flat = json.dumps(value, ensure_ascii=False)
    pad = " " * (depth + 1)
    if len(flat) + depth <= LINE or not isinstance(value, (dict, list)) or not value:
        return flat
    if isinstance(value, dict):
        parts = [f"{pad}{json.dumps(key, ensure_ascii=False)}: {text_of(inner, depth + 1)}" for key, inner in value.items()]
        return "{\n" + ",\n".join(parts) + "\n" + " " * depth + "}"
    return "[\n" + ",\n".join(pad + text_of(inner, depth + 1) for inner in value) + "\n" + " " * depth + "]"
