#!/usr/bin/env python3
"""Writes infra/helm/dunlin/README.md from the comments of values.yaml.

readme.py            writes it
readme.py --check    changes nothing; fails if it is not current, if a value has no comment, or if values.yaml and
                     values.schema.json do not name the same values
"""

import json
import re
import sys

import yaml
from objects import CHART

README = CHART / "README.md"
KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):(.*)$")
HEAD = """# The Helm chart of Dunlin

[docs/kubernetes.md](../../../docs/kubernetes.md) says how to install it, and what to choose for production. This page lists every value.
It is made from the comments in [values.yaml](values.yaml) by `scripts/helm docs`.

```sh
helm install dunlin infra/helm/dunlin --namespace dunlin --create-namespace --values my-values.yaml
```

Two values have no default that could work. `config` says where the state is. `gateway.keys`, tokens of an issuer (`gateway.oidc`), client certificates (`gateway.tls`) or `gateway.allowInsecureConnections` say who may ask. Without them nothing is rendered, and Helm prints a sentence that says what to set. Unknown values are errors.

Examples: [laptop](../examples/laptop.yaml), [production](../examples/production.yaml), [several zones](../examples/multi-zone.yaml), [spot nodes](../examples/spot.yaml), [pools](../examples/pools.yaml), [teams](../examples/teams.yaml).
"""


def comments(text, values):
    """(path, comment) of every key of a map that stands on a line of its own, in order. Items of lists have no line."""
    found, above, path = [], [], []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            above.append(stripped.lstrip("# "))
            continue
        key = KEY.match(line)
        if key:
            depth = len(key[1]) // 2
            path = [*path[:depth], key[2]]
            if is_of_maps(values, path):
                found.append((tuple(path), " ".join(above)))
        above = []
    return found


def is_of_maps(values, path):
    for name in path:
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True


def at(values, path):
    for name in path:
        values = values[name]
    return values


def rows(values, said):
    """(path, comment, default) of each line: what has a comment of its own."""
    for path, comment in said:
        # The comment of a group at the top is that of its section.
        if comment and (len(path) > 1 or not is_group(values, said, path)):
            yield path, comment, at(values, path)


def is_group(values, said, path):
    return isinstance(at(values, path), dict) and commented_below(path, said)


def commented_below(path, said):
    return any(other[: len(path)] == path and len(other) > len(path) and comment for other, comment in said)


def code(value):
    return "`" + json.dumps(value).replace("|", "\\|") + "`"


def document(values, said):
    lines = [HEAD.rstrip(), ""]
    section = None
    by_path = dict(said)
    for path, comment, value in rows(values, said):
        top = path[0] if len(path) > 1 else ""
        if top != section:
            title = f"`{top}`" if top else "General" if section is None else "More"
            lines += ["", f"## {title}", ""]
            if top and by_path[(top,)]:
                lines += [by_path[(top,)] + ".", ""]
            lines += ["| value | default | what |", "|---|---|---|"]
            section = top
        what = comment.replace("|", "\\|")
        default = "" if is_group(values, said, path) else code(value)
        lines.append(f"| `{'.'.join(path)}` | {default} | {what} |")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def silent(values, said):
    """Values without a comment of their own or of what they are in."""
    known = {path for path, comment in said if comment}
    for path, _ in leaves(values):
        if not any(path[:length] in known for length in range(2 if len(path) > 1 else 1, len(path) + 1)):
            yield ".".join(path)


def leaves(values, path=()):
    for name, value in values.items():
        here = (*path, name)
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here, value


# --- the schema --------------------------------------------------------------------------------------------------------------
def different(values, schema):
    """Names that only one of both has, and objects that take any name."""
    yield from compare(values, schema, schema, "")


def resolve(part, schema):
    if "$ref" in part:
        return schema["definitions"][part["$ref"].rsplit("/", 1)[-1]]
    return part


def compare(values, part, schema, path):
    part = resolve(part, schema)
    names = part.get("properties")
    if names is None:
        return
    if part.get("additionalProperties") is not False:
        yield f"the schema allows any name in {path or 'the values'}"
    # Helm itself adds `global`.
    for name in sorted(set(names) - set(values) - {"global"}):
        # A list or map that is empty by default has no example of what is in it.
        if values:
            yield f"{path}{name} is in the schema only"
    for name, value in values.items():
        if name not in names:
            yield f"{path}{name} is in the values only"
        elif isinstance(value, dict) and value:
            yield from compare(value, names[name], schema, f"{path}{name}.")


def main(arguments):
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    said = comments(text, values)
    schema = json.loads((CHART / "values.schema.json").read_text())
    wrong = [f"{name} has no comment" for name in silent(values, said)]
    wrong += list(different(values, schema))
    pool = set(schema["definitions"]["pool"]["properties"])
    # What each pool says for itself.
    if pool | {"name", "queries"} != set(schema["definitions"]["namedPool"]["properties"]):
        wrong.append("the schema allows other values in a pool than in workers.defaults")
    if wrong:
        sys.exit("\n".join(f"helm: values: {line}" for line in wrong))
    made = document(values, said)
    if arguments == ["--check"]:
        if not README.exists() or README.read_text() != made:
            sys.exit("helm: infra/helm/dunlin/README.md is not what values.yaml says; run: scripts/helm docs")
    elif not arguments:
        README.write_text(made)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
