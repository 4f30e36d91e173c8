"""What an expression of PromQL names: series, labels, values. Prometheus itself checks its syntax."""

import re
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<string>"(?:\\.|[^"\\])*")|(?P<variable>\$\w+|\$\{\w+\})
    |(?P<number>\d[\w.]*)|(?P<name>[A-Za-z_:][\w:]*)|(?P<operator>=~|!~|!=|==|>=|<=|.)""",
    re.VERBOSE,
)
# Words that are followed by a list of labels in parentheses.
LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = LISTS | {"and", "or", "unless", "bool", "offset"}
AGGREGATES = {"sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile", "group", "stddev", "stdvar", "count_values"}


@dataclass(frozen=True)
class Matcher:
    label: str
    operator: str
    value: str

    def values(self):
        """The values that the matcher names. A pattern that is more than alternatives names none."""
        if "$" in self.value:
            return []
        if self.operator in ("=", "!="):
            return [self.value]
        return self.value.split("|") if re.fullmatch(r"[\w|]+", self.value) else []


@dataclass(frozen=True)
class Series:
    name: str
    matchers: tuple = ()


def _tokens(expr):
    return [(found.lastgroup, found.group()) for found in TOKEN.finditer(expr) if found.lastgroup != "space"]


def _matchers(tokens, place):
    """The matchers from the token after `{`, and the place after `}`."""
    found = []
    while tokens[place][1] != "}":
        if tokens[place][0] == "name":
            label, operator, value = (tokens[place + step][1] for step in range(3))
            found.append(Matcher(label, operator, value[1:-1]))
            place += 2
        place += 1
    return tuple(found), place + 1


def _list(tokens, place):
    found = []
    while tokens[place][1] != ")":
        if tokens[place][0] == "name":
            found.append(tokens[place][1])
        place += 1
    return found, place + 1


def read(expr):
    """The series of an expression, and the labels that it groups or joins by."""
    tokens, place, series, labels = _tokens(expr), 0, [], set()
    tokens.append(("end", ""))
    while tokens[place][0] != "end":
        kind, text = tokens[place]
        after = tokens[place + 1][1]
        place += 1
        if kind != "name" or (text in WORDS and text not in LISTS):
            continue
        if text in LISTS and after == "(":
            listed, place = _list(tokens, place + 1)
            labels.update(listed)
        elif text in LISTS or text in AGGREGATES or after == "(":
            continue
        elif after == "{":
            matchers, place = _matchers(tokens, place + 1)
            series.append(Series(text, matchers))
        else:
            series.append(Series(text))
    return series, labels
