"""Rendered objects: rendering them, and comparing them with the schemas of Kubernetes."""

import concurrent.futures
import json
import pathlib
import shutil
import subprocess
import tempfile

import jsonschema
import kubernetes_validate
import referencing
import yaml

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE.parent / "dunlin"
EXAMPLES = HERE.parent / "examples"
DATA = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
# The oldest version that the chart allows (Chart.yaml), and the newest whose schemas are published.
OLDEST, NEWEST = "1.30", "1.37"
# Kinds that the API server knows only where somebody has installed their definitions.
CUSTOM = yaml.safe_load((HERE / "crds.yaml").read_text())


class Refused(Exception):
    """Helm did not render; the text says why."""


def helm(program, *arguments, text=""):
    """Runs Helm with nothing of this user's configuration. `text` is its standard input."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "HELM_NO_PLUGINS": "1"}
    done = subprocess.run(
        [program, *arguments], input=text, capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    if done.returncode != 0:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


def render(program, files=(), values=None, version=NEWEST, release="dunlin", namespace="dunlin", chart=CHART):
    """The objects that `helm template` prints for value files and one dictionary over them."""
    arguments = ["template", release, str(chart), "--namespace", namespace]
    for file in files:
        arguments += ["--values", str(file)]
    # Without it, a Helm that somebody has built takes a version that is long gone.
    arguments += ["--kube-version", version, "--values", "-"]
    # JSON is YAML that no reader mistakes.
    text = helm(program, *arguments, text=json.dumps(values or {}))
    # The C reader is ten times as fast.
    return [found for found in yaml.load_all(text, Loader=yaml.CSafeLoader) if found]


# `helm template` leaves the notes out, and `helm install` wants a cluster: here they are the content of an object.
NOTES_AS_OBJECT = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: notes
data:
  text: {{ include (print $.Template.BasePath "/NOTES.txt") . | toJson }}
"""


def notes(program, files, values=None):
    """What `helm install` tells its user."""
    with tempfile.TemporaryDirectory(prefix="dunlin-helm-notes.") as folder:
        chart = pathlib.Path(folder) / CHART.name
        shutil.copytree(CHART, chart)
        (chart / "templates" / "notes.yaml").write_text(NOTES_AS_OBJECT)
        things = render(program, files, values, chart=chart)
    return next(thing for thing in things if thing["metadata"]["name"] == "notes")["data"]["text"]


def together(jobs):
    """Runs functions on two threads: Helm is a process of its own."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


class Schemas:
    """The schemas of one version of Kubernetes, in which unknown fields are errors."""

    def __init__(self, version):
        self.version = version
        self.folder = DATA / f"v{version}.0-local-strict"
        text = (self.folder / "_definitions.json").read_text()
        resource = referencing.Resource.from_contents(json.loads(text))
        self.registry = resource @ referencing.Registry()
        self.validators = {}

    def validator(self, group, kind):
        # networking.k8s.io/v1 is in files that are named networking-v1.
        group = "-".join(part.split(".")[0] for part in group.split("/"))
        name = f"{kind.lower()}-{group}.json"
        if name not in self.validators:
            schema = json.loads((self.folder / name).read_text())
            resource = referencing.Resource.from_contents(schema)
            kind_of = jsonschema.Draft202012Validator
            self.validators[name] = kind_of(schema, registry=resource @ self.registry)
        return self.validators[name]

    def errors(self, thing):
        """Sentences, one for each error of an object."""
        of = f"{thing['kind']} {thing['metadata']['name']}"
        custom = CUSTOM.get(f"{thing['apiVersion']}/{thing['kind']}")
        if custom is not None:
            found = jsonschema.Draft202012Validator(custom).iter_errors(thing["spec"])
        else:
            found = self.validator(thing["apiVersion"], thing["kind"]).iter_errors(thing)
        return [f"{self.version}: {of}: {'/'.join(map(str, error.path))}: {error.message}" for error in found]
