#!/usr/bin/env python3
"""Renders the chart in many ways and looks at what comes out. scripts/helm runs it.

check.py HELM…    the programs to render with; what they render must be equal
"""

import copy
import sys

import invariants
import yaml
from objects import CHART, EXAMPLES, HERE, NEWEST, OLDEST, Refused, Schemas, helm, notes, render, together

STORE = EXAMPLES / "laptop-store.yaml"
MINIMAL = HERE / "minimal.yaml"
# Two gateways survive the loss of one. On a laptop nothing does.
WITH_TWO_GATEWAYS = {"minimal", "production", "multi-zone", "spot", "pools"}

problems = []


def problem(text):
    problems.append(text)
    print(f"helm: WRONG: {text}", file=sys.stderr)


def cases():
    """Name, value files, more values, and arguments of `render`."""
    examples = sorted(path for path in EXAMPLES.glob("*.yaml") if path != STORE)
    for path in [MINIMAL, HERE / "everything.yaml", *examples]:
        yield path.stem, [path], {}, {}
    by_name = {path.stem: path for path in examples}
    yield "production in three zones on spot", [by_name[n] for n in ("production", "multi-zone", "spot")], {}, {}
    longest = {"workers": {"pools": [{"name": "a" * 20}]}}
    yield "the longest names", [MINIMAL], longest, {"release": "r" * 53, "namespace": "n" * 63}
    numbers = {
        "nameOverride": "yes",
        "configSecret": {"name": "1", "key": "2"},
        "config": "",
        "storeCredentials": {
            "existingSecret": "3",
            "accessKeyIdKey": "4",
            "secretAccessKeyKey": "5",
            "sessionTokenKey": "6",
        },
        "gateway": {
            "keys": [{"name": "7", "scopes": ["query"], "workgroup": "24", "secret": {"name": "8", "key": "9"}}],
            "workgroups": [{"name": "24", "tables": ["25"], "pool": "31"}],
            "oidc": {"issuer": "26", "jwksUrl": "https://27", "audience": "28", "secret": {"name": "29", "key": "30"}},
            "tls": {"secretName": "10", "clientCaSecret": "11", "healthClientSecret": "12"},
            "priorityClassName": "13",
            "serviceAccount": {"name": "14"},
        },
        "ingress": {"enabled": True, "className": "15", "hosts": ["16"], "tlsByController": True},
        "workers": {"pools": [{"name": "true", "queries": {"pool": "31"}}], "serviceAccount": {"name": "17"}},
        "networkPolicy": {"monitoringNamespace": "18"},
        "monitoring": {"dashboards": {"enabled": True, "namespace": "19"}},
        "tests": {"apiKeySecret": {"name": "20", "key": "21"}},
    }
    yield "names that YAML takes for numbers", [MINIMAL], numbers, {"release": "22", "namespace": "23"}
    issuer = {"issuer": "https://id.example", "audience": "dunlin", "secret": {"name": "codes"}}
    tokens = {"gateway": {"keys": [], "oidc": issuer, "tls": {"secretName": "server"}}}
    yield "tokens and no keys", [MINIMAL], tokens, {}
    yield "tokens and no keys, TLS elsewhere", [MINIMAL], {"gateway": {"keys": [], "oidc": issuer}}, {}
    closed = {"networkPolicy": {"enabled": False}, "monitoring": {"metrics": False}, "tests": {"enabled": False}}
    yield "without policies and metrics", [MINIMAL], closed, {}
    yield "the oldest Kubernetes", [MINIMAL], {}, {"version": OLDEST}
    yield "no workers", [MINIMAL], {"workers": {"pools": []}}, {}
    yield "pools of every kind", [MINIMAL], pools_of_every_kind(), {}
    text = '[state]\nlocation = "s3://b/p"\n[[routing.pools]]\nname = "night"\n'
    by_hand = {
        "config": text,
        "gateway": {"workgroups": [{"name": "nightly", "pool": "night"}]},
        "workers": {"pools": [{"name": "night", "extraEnv": [{"name": "DUNLIN__WORKER__POOL", "value": "night"}]}]},
    }
    yield "pools in the text", [MINIMAL], by_hand, {}
    laptop = {"storeCredentials": {"create": {"accessKeyId": "an-id", "secretAccessKey": "a-secret"}}}
    yield "credentials from values", [MINIMAL], laptop, {}


def pools_of_every_kind():
    """In no pool, in one, in one together with others (two builds, two scalers), in all of them."""
    hpa = {"kind": "hpa", "minReplicas": 1}
    return {
        "gateway": {"workgroups": [{"name": "nightly", "pool": "-n1_ght"}, {"name": "others", "pool": "big"}]},
        "workers": {
            "signal": {"prometheusAddress": "http://p:9090"},
            "defaults": {"autoscaling": {"kind": "keda"}},
            "pools": [
                {"name": "default"},
                {"name": "by-hpa", "autoscaling": hpa},
                {"name": "many-rows", "queries": {"pool": "rows", "fromRows": 0}, "autoscaling": {"kind": "none"}},
                {"name": "big", "queries": {"pool": "big", "fromBytes": 9007199254740991, "fromRows": 10**12}},
                {"name": "big-next", "image": {"tag": "0.0.9"}, "queries": {"pool": "big"}, "autoscaling": hpa},
                {"name": "night", "queries": {"pool": "-n1_ght"}, "autoscaling": {"query": 'max(a{pool="-n1_ght"})'}},
                {"name": "every", "queries": {"pool": "*"}},
            ],
        },
    }


def routing(found):
    """What gateways are told of the pools of every kind: in this order, and with all digits."""
    things = found["pools of every kind"]
    gateway = next(t for t in things if t["kind"] == "Deployment" and invariants.component(t) == "gateway")
    told = invariants.configuration(gateway, things).get("routing")
    big = {"name": "big", "from_bytes": 9007199254740991, "from_rows": 10**12}
    if told != {"pools": [{"name": "rows", "from_rows": 0}, big, {"name": "-n1_ght"}]}:
        problem(f"pools of every kind: gateways are told {told}")


def lint(program):
    for values in ([], ["--values", str(MINIMAL)]):
        try:
            helm(program, "lint", "--strict", "--kube-version", NEWEST, str(CHART), *values)
        except Refused as refused:
            problem(f"helm lint --strict {' '.join(values)}: {refused}")


def rendered(programs):
    """Every case, by name, from the first program. The others must agree."""
    every = list(cases())
    jobs = [lambda program=program, case=case: attempt(program, case) for case in every for program in programs]
    answers = iter(together(jobs))
    found = {}
    for name, *_ in every:
        first, *others = [next(answers) for _ in programs]
        if isinstance(first, Refused):
            problem(f"{name}: {first}")
            continue
        if any(other != first for other in others):
            problem(f"{name}: the versions of Helm do not render the same")
        found[name] = first
    return found


def attempt(program, case):
    _, files, values, arguments = case
    try:
        return render(program, files, values, **arguments)
    except Refused as refused:
        return refused


def validate(schemas, name, things):
    for schema in schemas:
        for error in errors(schema, things):
            problem(f"{name}: {error}")
    for rule in invariants.ALL:
        for sentence in rule(things):
            problem(f"{name}: {sentence}")
    gateways = [t for t in things if t["kind"] == "Deployment" and invariants.component(t) == "gateway"]
    if name in WITH_TWO_GATEWAYS and gateways[0]["spec"].get("replicas", 2) < 2:
        problem(f"{name}: fewer than two gateways")


def errors(schema, things):
    for thing in things:
        yield from schema.errors(thing)
        if thing["kind"] == "ScaledObject":
            yield from schema.errors(as_hpa(thing))


def as_hpa(scaled):
    """The HorizontalPodAutoscaler that KEDA makes of a ScaledObject, as far as the chart decides about it."""
    spec = scaled["spec"]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": scaled["metadata"]["name"]},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", **spec["scaleTargetRef"]},
            "maxReplicas": spec["maxReplicaCount"],
            **spec["advanced"]["horizontalPodAutoscalerConfig"],
        },
    }


def refusals(program):
    """Each must be refused, with its sentence, and the sentence must be the message's own."""
    table = yaml.safe_load((HERE / "refusals.yaml").read_text())
    together([lambda row=row: refusal(program, row) for row in table])
    return len(table)


def refusal(program, row):
    files = [] if row.get("bare") else [MINIMAL]
    try:
        render(program, files, row["values"], version=row.get("kubernetes", NEWEST))
    except Refused as refused:
        # Helm breaks no lines, but quotes quotes.
        text = str(refused).replace('\\"', '"')
        if row["says"] not in text:
            problem(f"refusal: {row['name']}: does not say {row['says']!r}, but:\n{text}")
    else:
        problem(f"refusal: {row['name']}: is rendered")


def of_pools(*names):
    """Entries of `workers.pools` that run the queries of these pools of Dunlin."""
    return [{"name": f"p{number}", "queries": {"pool": pool}} for number, pool in enumerate(names)]


# What the user is told after an installation, and what not.
NOTES = [
    ("minimal", {}, ["http://localhost:8090/v1/sql -H"], ["NOTICE", "no value"]),
    ("laptop", {}, ["Everybody who reaches the gateways may use them", "without TLS"], ["Authorization"]),
    ("laptop", {"networkPolicy": {"enabled": False}}, ["Every pod of the cluster reaches the metrics"], []),
    ("production", {}, ["https://dunlin.example.com/v1/sql", "dunlin-key-hashes"], ["NOTICE", "no value"]),
    ("multi-zone", {}, ["get service dunlin-gateway"], ["NOTICE"]),
    ("spot", {"config": '[state]\nlocation = "s3://b/p"\n'}, ["no_worker_ms is not in config"], []),
    ("pools", {}, [], ["NOTICE", "no value"]),
    ("pools", {"workers": {"pools": of_pools("night")}}, ["every pool of workers.pools has queries"], ["same signal"]),
    ("pools", {"workers": {"pools": of_pools("night", "*", "night")}}, ["2 pools scale on the same"], ["has queries of"]),
    ("everything", {}, ["2 pools scale on the same signal", "https://one.example.com"], ["no value", "Tokens belong to no"]),
    ("teams", {}, ["A token of https://id.example.com/realms/data", "dunlin-oidc", "$DUNLIN_API_KEY"], ["NOTICE", "no value"]),
    ("teams", {"gateway": {"oidc": {"workgroupClaim": ""}}}, ["Tokens belong to no workgroup"], []),
]


def told(program):
    together([lambda row=row: tell(program, *row) for row in NOTES])


def tell(program, name, values, wanted, unwanted):
    file = next(path for folder in (HERE, EXAMPLES) for path in folder.glob(f"{name}.yaml"))
    try:
        text = notes(program, [file], values)
    except Refused as refused:
        return problem(f"notes of {name}: {refused}")
    for part in wanted:
        if part not in text:
            problem(f"notes of {name}: do not say {part!r}:\n{text}")
    for part in unwanted:
        if part in text:
            problem(f"notes of {name}: say {part!r}:\n{text}")


def teeth(schemas, things):
    """A check that finds nothing in a broken object checks nothing: each schema and rule is shown something wrong."""
    for thing in things:
        broken = copy.deepcopy(thing)
        broken["spec" if "spec" in broken else "metadata"]["surprise"] = 1
        for schema in schemas:
            if not schema.errors(broken):
                problem(f"teeth: {schema.version}: an unknown field in {invariants.name(thing)} is not found")
    if {rule for rule, *_ in BREAKS} != set(invariants.ALL):
        problem("teeth: a rule is never shown something wrong")
    for rule, part, change in BREAKS:
        broken = copy.deepcopy(things)
        change(part({(t["kind"], t["metadata"]["name"]): t for t in broken}))
        if not list(rule(broken)):
            problem(f"teeth: {rule.__name__} does not see what is wrong")


def spec(kind, name="dunlin-gateway"):
    """A function that finds the spec of an object."""
    return lambda things: things[kind, name]["spec"]


def a_pod(things):
    return things["Deployment", "dunlin-gateway"]["spec"]["template"]["spec"]


def a_container(things):
    return a_pod(things)["containers"][0]


def a_worker(things):
    return things["Deployment", "dunlin-worker-default"]["spec"]["template"]["spec"]["containers"][0]


def labels(kind):
    return lambda things: things[kind, "dunlin-gateway"]["spec"]["selector"]["matchLabels"]


def a_backend(things):
    return things["Ingress", "dunlin-gateway"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]


def a_text(things):
    return things["ConfigMap", "dunlin-config"]["data"]


def add_text(container, text):
    """Adds to the text that a process reads."""
    entry = next(entry for entry in container["env"] if entry["name"] == "DUNLIN_CONFIG_TOML")
    entry["value"] += text


def add_arguments(container, *more):
    container["args"] += more


def into_pool_big(things):
    """All is told and there, but the scaler counts the tasks of all pools."""
    add_text(a_container(things), '[[routing.pools]]\nname = "big"\n')
    add_arguments(a_worker(things), "--pool=big")


NO_SUCH_GROUP = f'[[gateway.keys]]\nname = "x"\nsha256 = "{invariants.A_HASH}"\nscopes = []\nworkgroup = "bi"\n'

# The rule that must see it, a part of the production example, and what is broken there.
BREAKS = [
    (invariants.restricted, a_container, lambda c: c["securityContext"].pop("capabilities")),
    (invariants.restricted, a_pod, lambda p: p["volumes"].append({"name": "h", "hostPath": {"path": "/"}})),
    (invariants.restricted, a_pod, lambda p: p["securityContext"].update(runAsUser=0)),
    (invariants.resources, a_container, lambda c: c["resources"]["limits"].pop("memory")),
    (invariants.images, a_container, lambda c: c.update(image="registry:5000/dunlin")),
    (invariants.images, a_container, lambda c: c.update(image="dunlin:latest")),
    (invariants.scratch, a_pod, lambda p: p["volumes"][0]["emptyDir"].clear()),
    (invariants.probes, a_pod, lambda p: p.update(terminationGracePeriodSeconds=29)),
    (invariants.probes, a_worker, lambda c: c.update(ports=[{"containerPort": 1}])),
    (invariants.deployments, labels("Deployment"), lambda found: found.popitem()),
    (invariants.budgets, labels("PodDisruptionBudget"), lambda found: found.update(a="b")),
    (invariants.services, spec("Service"), lambda s: s["ports"].append({"port": 9090, "targetPort": "metrics"})),
    (invariants.services, spec("Service", "dunlin-gateway-metrics"), lambda s: s.pop("clusterIP")),
    (invariants.services, a_backend, lambda b: b.update(name="dunlin-gateway-metrics")),
    (invariants.policies, spec("NetworkPolicy", "dunlin-worker"), lambda s: s["ingress"].append({"from": []})),
    (invariants.policies, spec("NetworkPolicy", "dunlin-worker"), lambda s: s["egress"].append({})),
    (invariants.policies, spec("NetworkPolicy"), lambda s: s["ingress"][1].pop("from")),
    (invariants.policies, spec("NetworkPolicy"), lambda s: s["ingress"][0]["ports"].append({"port": 9090})),
    (invariants.configurations, a_container, lambda c: c["args"].remove("--allow-insecure-connections")),
    (invariants.configurations, a_container, lambda c: add_text(c, '[gateway.oidc]\nsecret = "x"\n')),
    (invariants.configurations, a_container, lambda c: add_text(c, NO_SUCH_GROUP)),
    (invariants.configurations, a_worker, lambda c: add_text(c, '[[gateway.workgroups]]\nname = "bi"\n')),
    (invariants.configurations, a_text, lambda d: d.update({"dunlin.toml": '[state]\nlocation = "/x"\n'})),
    (invariants.pools, a_worker, lambda c: add_arguments(c, "--pool=big")),
    (invariants.pools, a_container, lambda c: add_text(c, '[[routing.pools]]\nname = "big"\n')),
    (invariants.pools, a_container, lambda c: add_text(c, '[[gateway.workgroups]]\nname = "a"\npool = "big"\n')),
    (invariants.pools, a_worker, lambda c: add_text(c, '[[routing.pools]]\nname = "big"\n')),
    (invariants.pools, lambda t: t, into_pool_big),
    (invariants.secrecy, a_container, lambda c: c["env"].append({"name": "AWS_SECRET_ACCESS_KEY", "value": "x"})),
    (invariants.names, lambda t: t["Service", "dunlin-gateway"]["metadata"], lambda m: m.update(name="n" * 64)),
    (invariants.scalers, spec("Deployment", "dunlin-worker-default"), lambda s: s.update(replicas=2)),
    (invariants.monitors, labels("ServiceMonitor"), lambda found: found.pop("dunlin/metrics")),
    (invariants.accounts, a_pod, lambda p: p.update(serviceAccountName="nobody")),
    (invariants.tests, lambda t: t["Pod", "dunlin-test"]["metadata"], lambda m: m.pop("annotations")),
]


def main(programs):
    lint(programs[0])
    schemas = [Schemas(version) for version in (OLDEST, NEWEST)]
    found = rendered(programs)
    store = [thing for thing in yaml.safe_load_all(STORE.read_text()) if thing]
    for name, things in found.items():
        validate(schemas, name, things + (store if name == "laptop" else []))
    if "production" in found:
        teeth(schemas, found["production"])
    if "pools of every kind" in found:
        routing(found)
    refused = refusals(programs[0])
    told(programs[0])
    objects = sum(map(len, found.values()))
    print(
        f"helm: {len(found)} installations, {objects} objects, Kubernetes {OLDEST} and {NEWEST}, "
        f"{len(invariants.ALL)} rules, {len(BREAKS)} broken on purpose, {refused} refusals, {len(NOTES)} notes"
    )
    if problems:
        sys.exit(f"helm: {len(problems)} things are wrong")


if __name__ == "__main__":
    main(sys.argv[1:] or sys.exit("usage: check.py HELM…"))
