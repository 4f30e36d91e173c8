"""What must hold for whatever the chart renders. Each function yields sentences about what does not hold."""

import collections
import json
import tomllib

import kubelet

# Volumes that the restricted pod security standard allows, and the chart uses or lets users add.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
HTTP, METRICS = 8090, 9090
A_HASH = "0" * 64


def of_kind(things, *kinds):
    return [thing for thing in things if thing["kind"] in kinds]


def name(thing):
    return f"{thing['kind']} {thing['metadata']['name']}"


def pods(things):
    """(owner, labels, spec) of every pod."""
    for thing in things:
        if thing["kind"] == "Pod":
            yield thing, labels_of(thing), thing["spec"]
        elif thing["kind"] in ("Deployment", "Job"):
            template = thing["spec"]["template"]
            yield thing, template["metadata"]["labels"], template["spec"]


def containers(things):
    for owner, _, spec in pods(things):
        for container in spec.get("initContainers", []) + spec["containers"]:
            yield owner, container


def matches(selector, labels):
    return selector.items() <= labels.items()


def labels_of(thing):
    return thing["metadata"].get("labels", {})


def component(thing):
    return labels_of(thing).get("app.kubernetes.io/component")


# --- pods ---------------------------------------------------------------------------------------------------------------
def restricted(things):
    """The restricted pod security standard, a read-only root, one user, and no token of the API server."""
    for owner, _, spec in pods(things):
        security = spec.get("securityContext", {})
        if not security.get("runAsNonRoot") or security.get("runAsUser") != 65532:
            yield f"{name(owner)} may run as root"
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name(owner)} has no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name(owner)} gets a token of the API server"
        for host in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(host):
                yield f"{name(owner)} has {host}"
        for volume in spec.get("volumes", []):
            if not set(volume) - {"name"} <= VOLUMES:
                yield f"{name(owner)}: volume {volume['name']} is of a kind that the standard forbids"
    for owner, container in containers(things):
        security = container.get("securityContext", {})
        of = f"{name(owner)}, container {container['name']}"
        if security.get("allowPrivilegeEscalation") is not False:
            yield f"{of} may gain privileges"
        if security.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{of} keeps capabilities"
        if not security.get("readOnlyRootFilesystem"):
            yield f"{of} may write its root"
        if not security.get("runAsNonRoot") or security.get("privileged"):
            yield f"{of} may run as root"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{of} takes a port of the node"


def resources(things):
    for owner, container in containers(things):
        found = container.get("resources", {})
        for part, needed in (("requests", ("cpu", "memory")), ("limits", ("memory",))):
            for resource in needed:
                if resource not in found.get(part, {}):
                    yield f"{name(owner)}, container {container['name']}: no {part}.{resource}"


def images(things):
    for owner, container in containers(things):
        image = container["image"]
        last = image.rsplit("/", 1)[-1]
        if "@sha256:" not in image and (":" not in last or last.endswith(":latest")):
            yield f"{name(owner)}: the image {image} has no version"


def scratch(things):
    """Whoever has a read-only root has a bounded place for temporary files, and mounts what exists."""
    for owner, _, spec in pods(things):
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for volume in volumes.values():
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{name(owner)}: volume {volume['name']} may fill the node's disk"
        for container in spec["containers"]:
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{name(owner)} mounts {mount['name']}, which is no volume"
            places = {mount["mountPath"] for mount in container.get("volumeMounts", [])}
            if component(owner) in ("gateway", "worker") and not {"/tmp", "/spill"} <= places:
                yield f"{name(owner)} has no place for spills"


def probes(things):
    for deployment in of_kind(things, "Deployment"):
        if component(deployment) not in ("gateway", "worker"):
            continue
        spec = pod_spec(deployment)
        container = spec["containers"][0]
        wait = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if spec["terminationGracePeriodSeconds"] < wait + 25:
            yield f"{name(deployment)} is killed before it has ended"
        if "startupProbe" not in container:
            yield f"{name(deployment)} has no startup probe"
        check = gateway_probes if component(deployment) == "gateway" else worker_probes
        if not check(container):
            yield f"{name(deployment)}: wrong ports or probes"


def gateway_probes(container):
    ready, alive = container["readinessProbe"], container["livenessProbe"]
    by_http = ready.get("httpGet", {}).get("path") == "/v1/ready" and alive.get("httpGet", {}).get("path") == "/health"
    by_command = ready.get("exec", {}).get("command", [])[:2] == ["dunlin", "health"] and "tcpSocket" in alive
    return by_http or by_command


def worker_probes(container):
    """A worker listens on nothing."""
    is_asked = container["livenessProbe"]["exec"]["command"][:2] == ["dunlin-worker", "alive"]
    return is_asked and not container.get("ports") and "readinessProbe" not in container


# --- selectors ------------------------------------------------------------------------------------------------------------
def deployments(things):
    for deployment in of_kind(things, "Deployment"):
        selector = deployment["spec"]["selector"]["matchLabels"]
        chosen = [owner for owner, labels, _ in pods(things) if matches(selector, labels)]
        if chosen != [deployment]:
            yield f"{name(deployment)} selects {[name(owner) for owner in chosen]}"
        if any("version" in label or "chart" in label for label in selector):
            yield f"{name(deployment)} selects by a version, and cannot be upgraded"
        spread = deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
        for constraint in spread:
            if constraint["labelSelector"]["matchLabels"] != selector:
                yield f"{name(deployment)} spreads other pods than its own"


def budgets(things):
    """Each budget is for the pods of one Deployment, each Deployment has one, and none stops every eviction."""
    covered = collections.Counter()
    for budget in of_kind(things, "PodDisruptionBudget"):
        selector = budget["spec"]["selector"]["matchLabels"]
        chosen = [name(owner) for owner, labels, _ in pods(things) if matches(selector, labels)]
        covered.update(chosen)
        if len(chosen) != 1:
            yield f"{name(budget)} is for {chosen}"
        if budget["spec"].get("maxUnavailable") in (0, "0%", None):
            yield f"{name(budget)} lets no node be drained"
    for deployment in of_kind(things, "Deployment"):
        if component(deployment) in ("gateway", "worker") and covered[name(deployment)] != 1:
            yield f"{name(deployment)} has {covered[name(deployment)]} budgets"


def services(things):
    """Metrics are in one Service only, which has no address, and which no Ingress names."""
    for service in of_kind(things, "Service"):
        spec = service["spec"]
        numbers = {port["port"] for port in spec["ports"]} | {port["targetPort"] for port in spec["ports"]}
        is_metrics = labels_of(service).get("dunlin/metrics") == "true"
        if is_metrics and (spec.get("clusterIP") != "None" or numbers != {METRICS, "metrics"}):
            yield f"{name(service)} is more than a list of the metrics' addresses"
        if not is_metrics and numbers & {METRICS, "metrics"}:
            yield f"{name(service)} serves metrics"
        chosen = [owner for owner, labels, _ in pods(things) if matches(spec["selector"], labels)]
        if len(chosen) != 1:
            yield f"{name(service)} selects {[name(owner) for owner in chosen]}"
            continue
        ports = {port["name"] for container in pod_spec(chosen[0])["containers"] for port in container.get("ports", [])}
        for port in spec["ports"]:
            if port["targetPort"] not in ports:
                yield f"{name(service)}: {name(chosen[0])} has no port {port['targetPort']}"
    for ingress in of_kind(things, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                if backend["name"].endswith("-metrics") or backend["port"].get("number") == METRICS:
                    yield f"{name(ingress)} shows metrics to the world"
                if not any(service["metadata"]["name"] == backend["name"] for service in of_kind(things, "Service")):
                    yield f"{name(ingress)} leads to {backend['name']}, which does not exist"


def pod_spec(owner):
    return owner["spec"] if owner["kind"] == "Pod" else owner["spec"]["template"]["spec"]


# --- network --------------------------------------------------------------------------------------------------------------
def policies(things):
    """Workers: nothing in, and out to named peers on named ports. Gateways: 8090; 9090 from one namespace only."""
    found = of_kind(things, "NetworkPolicy")
    if not found:
        return
    for owner, labels, _ in pods(things):
        chosen = [policy for policy in found if matches(policy["spec"]["podSelector"]["matchLabels"], labels)]
        if component(owner) in ("gateway", "worker") and len(chosen) != 1:
            yield f"{name(owner)} has {len(chosen)} policies"
        for policy in chosen:
            yield from policy_of(component(owner), policy)


def policy_of(role, policy):
    spec = policy["spec"]
    if set(spec["policyTypes"]) != {"Ingress", "Egress"}:
        yield f"{name(policy)} leaves a direction open"
    if role == "worker" and spec.get("ingress"):
        yield f"{name(policy)} lets something reach workers"
    for rule in spec["egress"]:
        if not rule.get("to") or not rule.get("ports"):
            yield f"{name(policy)} lets pods reach everything"
        for peer in rule.get("to", []):
            if not any(peer.values()):
                yield f"{name(policy)} has a peer that is everybody"
            if role == "worker" and "gateway" in json.dumps(peer):
                yield f"{name(policy)} lets workers reach gateways"
    for rule in spec.get("ingress", []):
        numbers = {port["port"] for port in rule.get("ports", [])}
        if not numbers or not numbers <= {HTTP, METRICS} or len(numbers) != 1:
            yield f"{name(policy)} opens {sorted(numbers) or 'every port'}"
        if METRICS in numbers:
            peers = rule.get("from", [])
            if len(peers) != 1 or not peers[0].get("namespaceSelector", {}).get("matchLabels"):
                yield f"{name(policy)} shows metrics to more than one namespace"


# --- configuration ----------------------------------------------------------------------------------------------------------
def given(variable, *_):
    """What Secrets hold that the chart does not make."""
    return A_HASH if variable.endswith("_SHA256") else '[state]\nlocation = "s3://b/p"\n'


def configuration(deployment, things):
    return kubelet.configuration(pod_spec(deployment)["containers"][0], things, given)


def configurations(things):
    """Each process reads a configuration that is valid TOML and its own; only gateways learn of clients."""
    for deployment in of_kind(things, "Deployment"):
        role = component(deployment)
        if role not in ("gateway", "worker"):
            continue
        container = pod_spec(deployment)["containers"][0]
        config = configuration(deployment, things)
        if not config["state"]["location"].startswith("s3://"):
            yield f"{name(deployment)} has its state in {config['state']['location']}"
        limit = mib(container["resources"]["limits"]["memory"]) << 20
        pools = 2 if role == "gateway" else 1
        if not 0 < config["worker"]["memory_bytes"] * pools < limit:
            yield f"{name(deployment)} may use more memory than it has"
        temporary = kubelet.environment(container, things, given)["TMPDIR"]
        if config["worker"]["spill_dir"] != "/spill" or temporary != "/spill":
            yield f"{name(deployment)} spills elsewhere"
        gateway = config.get("gateway", {})
        if role == "worker" and gateway.keys() & {"keys", "oidc", "workgroups"}:
            yield f"{name(deployment)} knows who the clients of gateways are"
        if role == "gateway":
            yield from access(deployment, container, gateway)
            yield from groups(deployment, gateway)


def access(deployment, container, gateway):
    keys, oidc = gateway.get("keys", []), gateway.get("oidc")
    insecure = "--allow-insecure-connections" in container["args"]
    is_safe = bool(keys or oidc) and "tls" in gateway
    if not insecure and not is_safe:
        yield f"{name(deployment)} would refuse to start"
    if insecure and is_safe:
        yield f"{name(deployment)} turns a check off that it passes"
    if any(len(key["sha256"]) != 64 for key in keys):
        yield f"{name(deployment)} has a key without hash"
    given = {entry["name"] for entry in container["env"] if "valueFrom" in entry}
    if oidc and (oidc["secret"] != "${secrets:DUNLIN_OIDC_SECRET}" or "DUNLIN_OIDC_SECRET" not in given):
        yield f"{name(deployment)} does not have the secret of codes from a Secret"


def groups(deployment, gateway):
    known = {group["name"] for group in gateway.get("workgroups", [])}
    for key in gateway.get("keys", []):
        if key.get("workgroup", "") not in known | {""}:
            yield f"{name(deployment)}: the key {key['name']} is of a group that is not there"
    if "workgroup_claim" in gateway.get("oidc", {}) and not known:
        yield f"{name(deployment)} refuses every token"


def pools(things):
    """Gateways know the pools that have workers, and no others; workers of a pool are as many as its own tasks need."""
    gateways = [t for t in of_kind(things, "Deployment") if component(t) == "gateway"]
    workers = {name(t): t for t in of_kind(things, "Deployment") if component(t) == "worker"}
    served = {of: pool_of(worker) for of, worker in workers.items()}
    for gateway in gateways:
        config = configuration(gateway, things)
        routed = [pool["name"] for pool in config.get("routing", {}).get("pools", [])]
        asked = {group["pool"] for group in config.get("gateway", {}).get("workgroups", []) if "pool" in group}
        if len(set(routed)) != len(routed):
            yield f"{name(gateway)} would refuse to start: a pool stands twice"
        for pool in {*asked, *served.values()} - {*routed, None, "*"}:
            yield f"{name(gateway)} does not know the pool {pool}"
        for pool in set(routed) - set(served.values()):
            yield f"{name(gateway)} sends queries to the pool {pool}, which has no workers"
    for of, worker in workers.items():
        # The text of `config` is the same for all.
        if "routing" in tomllib.loads(of_chart(worker)):
            yield f"{of} is told what gateways decide"
    for scaler in of_kind(things, "ScaledObject", "HorizontalPodAutoscaler"):
        of = f"Deployment {scaler['spec']['scaleTargetRef']['name']}"
        pool, signal = served.get(of), scaler["spec"].get("triggers") or scaler["spec"]["metrics"]
        if pool not in (None, "*") and pool not in json.dumps(signal):
            yield f"{name(scaler)} counts the tasks of other pools than {pool}"


def pool_of(worker):
    """The pool of Dunlin whose queries the workers of a Deployment run, `*`, or None."""
    container = pod_spec(worker)["containers"][0]
    arguments, variables = container["args"], {entry["name"]: entry.get("value") for entry in container["env"]}
    for argument in arguments:
        # One word, because the name of a pool may begin with a hyphen.
        if argument.startswith("--pool="):
            return argument.removeprefix("--pool=")
    return variables.get("DUNLIN__WORKER__POOL")


def of_chart(deployment):
    """The part of a configuration that the chart writes itself."""
    env = pod_spec(deployment)["containers"][0]["env"]
    text = next(entry["value"] for entry in env if entry["name"] == "DUNLIN_CONFIG_TOML")
    return text.replace("$(DUNLIN_CONFIG_COMMON)", "")


def mib(text):
    return int(text[:-2]) * (1024 if text.endswith("Gi") else 1)


def secrecy(things):
    """What is in a Secret is nowhere else, and no variable with a secret's name has its value in the pod."""
    secrets = {value for thing in of_kind(things, "Secret") for value in thing.get("stringData", {}).values()}
    for thing in things:
        if thing["kind"] == "Secret":
            continue
        text = json.dumps(thing)
        for value in secrets:
            if value in text:
                yield f"{name(thing)} holds a value of a Secret"
    for owner, container in containers(things):
        for entry in container.get("env", []):
            is_secret = any(word in entry["name"] for word in ("SECRET", "TOKEN", "PASSWORD", "API_KEY", "SHA256"))
            if is_secret and "value" in entry:
                yield f"{name(owner)}: {entry['name']} has its value in the pod"


# --- the rest ---------------------------------------------------------------------------------------------------------------
def names(things):
    seen = set()
    for thing in things:
        of = (thing["kind"], thing["metadata"].get("namespace"), thing["metadata"]["name"])
        if of in seen:
            yield f"{name(thing)} is rendered twice"
        seen.add(of)
        if len(of[2]) > 63:
            yield f"{name(thing)}: the name has {len(of[2])} characters"
        for label, value in labels_of(thing).items():
            if len(str(value)) > 63:
                yield f"{name(thing)}: the label {label} has {len(value)} characters"


def scalers(things):
    """Each leads to a Deployment, which then has no number of its own; KEDA's behaviour is the HPA's."""
    scaled = set()
    for scaler in of_kind(things, "ScaledObject", "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]["name"]
        scaled.add(target)
        if target not in {thing["metadata"]["name"] for thing in of_kind(things, "Deployment")}:
            yield f"{name(scaler)} scales {target}, which does not exist"
    for deployment in of_kind(things, "Deployment"):
        if ("replicas" in deployment["spec"]) == (deployment["metadata"]["name"] in scaled):
            yield f"{name(deployment)}: its number is set twice, or not at all"


def monitors(things):
    for monitor in of_kind(things, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        chosen = [s for s in of_kind(things, "Service") if matches(selector, labels_of(s))]
        ports = [port["name"] for service in chosen for port in service["spec"]["ports"]]
        if ports != [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]]:
            yield f"{name(monitor)} scrapes {ports}"


def accounts(things):
    made = {thing["metadata"]["name"] for thing in of_kind(things, "ServiceAccount")}
    for owner, _, spec in pods(things):
        account = spec.get("serviceAccountName", "default")
        if account not in made | {"default", "shared"}:
            yield f"{name(owner)}: there is no service account {account}"


def tests(things):
    """The pod of `helm test` asks an address that exists."""
    for pod in of_kind(things, "Pod"):
        if pod["metadata"].get("annotations", {}).get("helm.sh/hook") != "test":
            yield f"{name(pod)} is no test"
        for container in pod["spec"]["containers"]:
            if container["command"] != ["dunlin"] or container["args"][0] not in ("health", "sql"):
                yield f"{name(pod)}, container {container['name']} asks nothing"


ALL = [
    restricted, resources, images, scratch, probes, deployments, budgets, services, policies, configurations, pools,
    secrecy, names, scalers, monitors, accounts, tests,
]  # fmt: skip
