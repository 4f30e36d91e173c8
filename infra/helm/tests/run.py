#!/usr/bin/env python3
"""Runs what the chart renders, as processes: arguments, variables, files, probes and `helm test` of rendered pods, with the
real programs, against an S3 server. It shows that the programs take what the chart gives them. It shows nothing about
Kubernetes: no scheduler, no network, no limits.

    run.py HELM DIR    DIR has the programs dunlin and dunlin-worker; DUNLIN_TEST_S3_… say where the server is
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import issuer
import kubelet
from invariants import component, pod_spec
from objects import HERE, render

DEADLINE = 60
# Folders of the container. They become folders below a temporary one.
PLACES = re.compile(r"(?<![\w./-])/(spill|tmp|tls)(?=/|\b)")


def say(text):
    print(f"helm: run: {text}", flush=True)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait(what, condition):
    """Until a condition holds; its last failure is the reason that is shown."""
    end, last = time.monotonic() + DEADLINE, None
    while time.monotonic() < end:
        try:
            if condition():
                return
        except (OSError, AssertionError) as error:
            last = error
        time.sleep(0.2)
    raise SystemExit(f"helm: run: {what} did not happen within {DEADLINE} s: {last}")


class Pod:
    """The one container of a rendered Deployment, as a process."""

    def __init__(self, deployment, installation):
        self.name = deployment["metadata"]["name"]
        self.grace = pod_spec(deployment)["terminationGracePeriodSeconds"]
        self.container = pod_spec(deployment)["containers"][0]
        self.installation = installation
        variables = kubelet.environment(self.container, installation.things, installation.secret)
        self.variables = {name: installation.here(value) for name, value in variables.items()}
        self.log = installation.root / f"{self.name}.log"
        self.process = None

    def start(self):
        command = self.container["command"] + self.container["args"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.installation.command(command),
                env=self.variables,
                stdout=log,
                stderr=log,
                cwd=self.installation.root,
            )

    def probe(self, name):
        """What the kubelet does; an exception or False says that it fails."""
        assert self.process.poll() is None, f"{self.name} has ended:\n{self.log.read_text()[-2000:]}"
        probe = self.container[name]
        if "exec" in probe:
            done = self.installation.run(probe["exec"]["command"], {})
            assert done.returncode == 0, done.stderr
            return True
        if "tcpSocket" in probe:
            socket.create_connection(("127.0.0.1", self.installation.http), probe["timeoutSeconds"]).close()
            return True
        get = probe["httpGet"]
        return self.installation.get(get["scheme"].lower(), get["path"], self.installation.http)[0] < 400

    def stop(self):
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(self.grace)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"helm: run: {self.name} did not end within its {self.grace} s") from None
        if code != 0:
            raise SystemExit(f"helm: run: {self.name} ended with {code}:\n{self.log.read_text()[-2000:]}")
        return time.monotonic() - began


class Installation:
    """Rendered objects, and a folder and ports for their processes."""

    def __init__(self, things, programs, root, secrets):
        self.things, self.programs, self.root, self.secrets = things, programs, root, secrets
        self.http, self.metrics = free_port(), free_port()
        for place in ("spill", "tmp", "tls"):
            (root / place).mkdir(exist_ok=True)

    def gateway(self):
        return Pod(next(t for t in self.things if t["kind"] == "Deployment" and component(t) == "gateway"), self)

    def here(self, text):
        """Folders and addresses of a container, as they are on this machine."""
        text = PLACES.sub(lambda found: f"{self.root}/{found[1]}", text)
        text = re.sub(r"\b(dunlin-gateway\.dunlin\.svc|localhost):8090", f"localhost:{self.http}", text)
        return text.replace("0.0.0.0:8090", f"127.0.0.1:{self.http}").replace(
            "0.0.0.0:9090", f"127.0.0.1:{self.metrics}"
        )

    def command(self, words):
        return [str(self.programs / words[0]), *map(self.here, words[1:])]

    def run(self, words, variables):
        return subprocess.run(
            self.command(words), env=variables, capture_output=True, text=True, timeout=DEADLINE, check=False
        )

    def secret(self, _variable, name, key):
        return self.secrets[name, key]

    def get(self, scheme, path, port):
        context = ssl._create_unverified_context() if scheme == "https" else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(f"{scheme}://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def validate(self, title):
        """The gateway's text and variables, as `dunlin` itself judges them. It asks the issuer of tokens, too."""
        done = self.run(["dunlin", "validate"], self.gateway().variables)
        if done.returncode != 0:
            raise SystemExit(f"helm: run: {title}: dunlin validate: {done.stdout}{done.stderr}")
        say(f"{title}: dunlin validate: {'; '.join(done.stdout.split(chr(10))[2:]).strip('; ') or 'ok'}")

    def live(self, title):
        self.validate(title)
        pods = [
            Pod(t, self) for t in self.things if component(t) in ("gateway", "worker") and t["kind"] == "Deployment"
        ]
        try:
            for pod in pods:
                pod.start()
            for pod in pods:
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    if probe in pod.container:
                        wait(f"{title}: {probe} of {pod.name}", lambda pod=pod, probe=probe: pod.probe(probe))
            self.test(title)
            self.ports(
                title, any(pod.container["readinessProbe"].get("exec") for pod in pods if "ports" in pod.container)
            )
            for pod in pods:
                say(f"{title}: {pod.name} ended {pod.stop():.1f} s after SIGTERM")
        finally:
            for pod in pods:
                if pod.process and pod.process.poll() is None:
                    pod.process.kill()
                    pod.process.wait()

    def refuses(self, title, why):
        """The gateway of an installation that is wrong ends, and says why. Above all it serves nobody."""
        pod = self.gateway()
        pod.start()
        try:
            code = pod.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"helm: run: {title}: the gateway serves") from None
        finally:
            pod.process.kill()
        said = pod.log.read_text().strip().splitlines()[-1]
        if code == 0 or why not in said:
            raise SystemExit(f"helm: run: {title}: the gateway ended with {code}: {said}")
        say(f"{title}: {said}")

    def test(self, title):
        """The containers of the pod of `helm test`."""
        pod = next(thing for thing in self.things if thing["kind"] == "Pod")
        for container in pod["spec"]["containers"]:
            variables = kubelet.environment(container, self.things, self.secret)
            done = self.run(container["command"] + container["args"], variables)
            if done.returncode != 0:
                raise SystemExit(f"helm: run: {title}: helm test, {container['name']}: {done.stdout}{done.stderr}")
            if container["args"][0] == "sql" and " · fleet · " not in done.stderr:
                raise SystemExit(f"helm: run: {title}: no worker has run the statement: {done.stderr}")
            say(f"{title}: helm test, {container['name']}: {' '.join((done.stdout + done.stderr).split()) or 'ok'}")

    def ports(self, title, is_mutual):
        """Metrics on their own port, and nowhere else; no answer without a key."""
        status, text = self.get("http", "/metrics", self.metrics)
        if status != 200 or "dunlin_build_info" not in text:
            raise SystemExit(f"helm: run: {title}: /metrics says {status}")
        if is_mutual:
            # Without a certificate there is no answer at all.
            try:
                self.get("https", "/health", self.http)
            except OSError:
                return
            raise SystemExit(f"helm: run: {title}: a client without a certificate was answered")
        for path, wanted in (("/metrics", 404), ("/v1/queries/00000000-0000-0000-0000-000000000000", 401)):
            status, _ = self.get("http", path, self.http)
            if status not in (wanted, 401):
                raise SystemExit(f"helm: run: {title}: {path} on the public port says {status}")


def new_key(programs):
    """A key and its hash, as a user makes them."""
    command = [programs / "dunlin", "key", "new", "--name", "ci", "--scopes", "query"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.search(r"^dunlin_\S+$", text, re.M)[0], re.search(r'sha256 = "([0-9a-f]{64})"', text)[1]


def certificates(programs, root):
    """Certificates of development, at the places where Secrets would be mounted."""
    made = root / "pki"
    for command in (["init"], ["add", "--client", "health"]):
        subprocess.run([programs / "dunlin", "tls", *command, "--folder", made], check=True, capture_output=True)
    for place, files in {
        "server": {"server.pem": "tls.crt", "server.key": "tls.key", "ca.pem": "ca.crt"},
        "clients": {"ca.pem": "ca.crt"},
        "health": {"client-health.pem": "tls.crt", "client-health.key": "tls.key"},
    }.items():
        (root / "tls" / place).mkdir(parents=True)
        for name, target in files.items():
            shutil.copy(made / name, root / "tls" / place / target)


def installation(helm, programs, root, values, key, prefix, more=None):
    """`more`: Secrets besides those that every installation has, or instead of them."""
    environment = os.environ
    config = f"""
[state]
location = "s3://{environment["DUNLIN_TEST_S3_BUCKET"]}/{prefix}"
[state.params]
s3_endpoint = "{environment["DUNLIN_TEST_S3_ENDPOINT"]}"
allow_http = true
# A store that is not of AWS has no prices of its own, and dollars of a workgroup need some.
[prices]
region = "eu-central-1"
"""
    text, sha256 = key
    secrets = {
        ("store", "AWS_ACCESS_KEY_ID"): environment["DUNLIN_TEST_S3_KEY"],
        ("store", "AWS_SECRET_ACCESS_KEY"): environment["DUNLIN_TEST_S3_SECRET"],
        ("hashes", "ci"): sha256,
        ("test", "key"): text,
        **(more or {}),
    }
    base = {
        "config": config,
        "storeCredentials": {"existingSecret": "store"},
        "tests": {"apiKeySecret": {"name": "test"}, "route": "fleet"},
    }
    things = render(helm, [HERE / "minimal.yaml"], {**base, **values})
    return Installation(things, programs, root, secrets)


def with_tokens(keys_at):
    """Values of a gateway that takes tokens and no keys, for members of one workgroup."""
    return {
        "keys": [],
        "oidc": {
            "issuer": issuer.NAME,
            "audience": "dunlin",
            "jwksUrl": keys_at,
            "workgroupClaim": "groups",
            "secret": {"name": "codes", "key": "secret"},
        },
        # Each limit once: a value that Dunlin does not take would stop the gateway.
        "workgroups": [
            {
                "name": "bi",
                "tables": ["sales_*"],
                "maxRunning": 2,
                "maxQueued": 5,
                "queueMs": 30000,
                "ttlMs": 600000,
                "maxBytesScanned": 10**13,
                "maxCostUsd": 0.5,
                "bytesPerDay": 10**13,
                "costPerDayUsd": 20,
            }
        ],
        "audit": True,
    }


def main(helm, folder):
    programs = pathlib.Path(folder).resolve()
    key = new_key(programs)
    by_secret = [{"name": "ci", "scopes": ["query"], "secret": {"name": "hashes", "key": "ci"}}]
    mutual = {"secretName": "server", "clientCaSecret": "clients", "healthClientSecret": "health"}
    # Every query reaches the bound, and there are no other workers: so the test's statement runs in the pool.
    pool = [{"name": "large", "queries": {"pool": "big_1", "fromBytes": 0}}]
    ways = {
        "keys, TLS elsewhere": {"gateway": {"keys": by_secret}},
        "keys and certificates of clients": {"gateway": {"keys": by_secret, "tls": mutual}},
        "a pool": {"gateway": {"keys": by_secret}, "workers": {"pools": pool}},
    }
    for number, (title, values) in enumerate(ways.items()):
        with tempfile.TemporaryDirectory(prefix="dunlin-helm-run.") as root:
            root = pathlib.Path(root)
            one = installation(helm, programs, root, values, key, f"helm-{os.getpid()}-{number}")
            certificates(programs, root)
            one.live(title)
    # Without TLS the gateway is told to start without its own check, so a Secret with nothing in it must not open it.
    with tempfile.TemporaryDirectory(prefix="dunlin-helm-run.") as root:
        nothing = (key[0], "")
        one = installation(helm, programs, pathlib.Path(root), ways["keys, TLS elsewhere"], nothing, "helm-none")
        one.refuses("a Secret without a hash", "sha256 is not 64 hex digits")
    tokens(helm, programs, key)


def tokens(helm, programs, key):
    """`helm test` with a token in place of a key, and gateways whose Secret of codes cannot be used."""
    someone = issuer.Issuer()
    with someone.serving() as keys_at:
        values = {"gateway": with_tokens(keys_at)}
        member = someone.token("dunlin", sub="1", groups=["staff", "bi"])
        good = {("codes", "secret"): "0123456789abcdef" * 2, ("test", "key"): member}
        with tempfile.TemporaryDirectory(prefix="dunlin-helm-run.") as root:
            one = installation(helm, programs, pathlib.Path(root), values, key, f"helm-{os.getpid()}-tokens", good)
            one.live("tokens of an issuer, a workgroup")
        for title, secret, why in (
            ("a Secret without a text for codes", "", "the secret DUNLIN_OIDC_SECRET is empty"),
            ("a text for codes that is short", "short", "[gateway.oidc] secret must have at least 32 bytes"),
        ):
            with tempfile.TemporaryDirectory(prefix="dunlin-helm-run.") as root:
                bad = {**good, ("codes", "secret"): secret}
                one = installation(helm, programs, pathlib.Path(root), values, key, "helm-none", bad)
                one.refuses(title, why)


if __name__ == "__main__":
    main(*sys.argv[1:])
