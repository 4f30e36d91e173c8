"""What a kubelet does with rendered objects before a process starts: variables from ConfigMaps, Secrets and one another."""

import re
import tomllib

REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


class Missing(Exception):
    """A variable names something that does not exist."""


def data_of(things, kind, name, key):
    """A value of a ConfigMap or Secret, or None."""
    for thing in things:
        if thing["kind"] == kind and thing["metadata"]["name"] == name:
            return {**thing.get("data", {}), **thing.get("stringData", {})}.get(key)
    return None


def environment(container, things, given=None):
    """The variables of a container. `given` answers for Secrets that the chart does not make:
    (variable, name, key) -> text."""
    values = {}
    for entry in container.get("env", []):
        if "value" in entry:
            values[entry["name"]] = expand(entry["value"], values)
            continue
        source = entry["valueFrom"]
        kind, place = next(iter(source.items()))
        kind = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}[kind]
        value = data_of(things, kind, place["name"], place["key"])
        if value is None and given is not None:
            value = given(entry["name"], place["name"], place["key"])
        if value is None:
            raise Missing(f"{entry['name']}: {kind} {place['name']} has no {place['key']}")
        values[entry["name"]] = value
    return values


def expand(text, values):
    """As Kubernetes does: only variables that stand before it, once. What is not known stays as it is."""
    return REFERENCE.sub(lambda found: values.get(found[1], found[0]), text)


def configuration(container, things, given=None):
    """`dunlin.toml` as the process of a container reads it."""
    text = environment(container, things, given)["DUNLIN_CONFIG_TOML"]
    left = REFERENCE.search(text)
    if left:
        raise Missing(f"DUNLIN_CONFIG_TOML: {left[0]} is not filled in")
    return tomllib.loads(text)
