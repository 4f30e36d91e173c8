#!/usr/bin/env python3
"""Writes the tables of inputs and outputs into every README of this folder, between its markers.

    docs.py            writes them
    docs.py --check    changes nothing; fails if a table is not current
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- BEGIN GENERATED -->", "<!-- END GENERATED -->"
OPENING, CLOSING = "{[(", "}])"


def blocks(text, kind):
    """The bodies of `kind "name" { … }`, by name. Braces in strings and comments do not count."""
    for found in re.finditer(rf'^{kind} "([^"]+)" {{$', text, re.M):
        yield found[1], text[found.end() : end_of(text, found.end(), depth=1)]


def end_of(text, at, depth=0):
    """Where the bracket that is open at `at` closes; with depth 0, where the expression at `at` ends."""
    while at < len(text):
        char = text[at]
        if char == '"':
            at = re.compile(r'"(?:[^"\\]|\\.)*"').match(text, at).end()
            continue
        if char == "#":
            at = text.index("\n", at)
            continue
        if char in OPENING:
            depth += 1
        elif char in CLOSING:
            depth -= 1
            if depth == 0 and char == "}" and text[at - 1] == "\n":
                return at
        elif char == "\n" and depth == 0:
            return at
        at += 1
    raise ValueError("a bracket is not closed")


def attribute(body, name):
    """The text of `  name = …` in a block, or None."""
    found = re.search(rf"^  {name}\s*= ", body, re.M)
    return body[found.end() : end_of(body, found.end())].strip() if found else None


def string(text):
    return text[1:-1].replace('\\"', '"').replace("$${", "${") if text else ""


def code(text):
    """An expression in one line, as it can stand in a table."""
    line = re.sub(r"\s*\n\s*", ", ", text)
    line = re.sub(r"([{(\[]), ", r"\1 ", line)
    line = re.sub(r",? ?, ([})\]])", r" \1", line)
    line = re.sub(r"  +", " ", line)
    return "`" + line.replace("|", "\\|") + "`"


def tables(folder):
    inputs = list(blocks((folder / "variables.tf").read_text(), "variable"))
    outputs = list(blocks((folder / "outputs.tf").read_text(), "output"))
    lines = ["## Inputs", "", "| name | what | type | default |", "|---|---|---|---|"]
    for name, body in inputs:
        description = string(attribute(body, "description"))
        if not description:
            raise ValueError(f"{folder}: variable {name} has no description")
        default = attribute(body, "default")
        lines.append(
            f"| `{name}` | {description.replace('|', chr(92) + '|')} | {code(attribute(body, 'type'))} "
            f"| {'required' if default is None else code(default)} |"
        )
    lines += ["", "## Outputs", "", "| name | what |", "|---|---|"]
    for name, body in outputs:
        description = string(attribute(body, "description"))
        if not description:
            raise ValueError(f"{folder}: output {name} has no description")
        lines.append(f"| `{name}` | {description.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def main():
    check = sys.argv[1:] == ["--check"]
    stale = []
    folders = [ROOT, *sorted(ROOT.glob("modules/*")), *sorted(ROOT.glob("examples/*"))]
    for folder in folders:
        readme = folder / "README.md"
        text = readme.read_text()
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        current = f"{before}{BEGIN}\n{tables(folder)}\n{END}{after}"
        if current == text:
            continue
        stale.append(str(readme.relative_to(ROOT.parent)))
        if not check:
            readme.write_text(current)
    for name in stale:
        print(f"terraform: {name} {'is not current: run scripts/terraform docs' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
