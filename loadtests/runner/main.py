"""The command: options, then everything in order, then everything stopped."""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys

from . import data, k6, metrics, report
from .watcher import Watcher
from .control import Control
from .sampler import Sampler
from .scenarios import SCENARIOS
from .stack import Stack, answers
from .store import Store
from .tools import LOADTESTS, ROOT, WORK, Failure, say, shown, tail, write_text

FAILED = 1
DEV_SLACK = 4.0
# What a worker would be on Fargate, so that its time has a price.
CONTAINER = """
[prices.container]
vcpu = 1.0
memory_gb = 4.0
"""


def parse(arguments):
    parser = argparse.ArgumentParser(prog="scripts/loadtest", description="Load tests with k6; see loadtests/README.md.")
    parser.add_argument("scenario", nargs="?", help="one of those that --list shows, or selftest")
    parser.add_argument("--list", action="store_true", help="show the scenarios")
    parser.add_argument("--size", choices=["small", "full"], default="small")
    parser.add_argument("--url", nargs="+", metavar="URL", help="gateways that run already; nothing is started")
    parser.add_argument("--bin", metavar="PATH", help="dunlin (default: target/release/dunlin, else target/debug/dunlin)")
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--workers", type=int, help="worker processes of one slot each")
    parser.add_argument("--scale", type=float, help="TPC-H scale; with --url, that of the data behind the gateways")
    parser.add_argument("--data", metavar="FOLDER", help="TPC-H data that is there, as `dunlin tpch` writes it")
    parser.add_argument("--expected", metavar="FILE", help="checksums that are there")
    parser.add_argument("--baseline", choices=["local", "inline"], default="local",
                        help="with --url: checksums from a process of one's own, or from the gateway itself, inline")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a number of the scenario")
    parser.add_argument("--slack", type=float, help="factor on thresholds of latency (default: 1, for a dev build 4)")
    parser.add_argument("--no-links", action="store_true", help="do not fetch presigned links")
    parser.add_argument("--out", metavar="FOLDER", help="reports (default: target/loadtests/SCENARIO)")
    parser.add_argument("--live", action="store_true", help="a real Prometheus watches: every panel of the dashboards has data")
    parser.add_argument("--fresh", action="store_true", help="ask for the expected checksums again")
    return parser.parse_args(arguments)


def binary_of(options):
    if options.bin:
        path = os.path.abspath(options.bin)
        if not os.access(path, os.X_OK):
            raise Failure(f"{options.bin} is no program; build it or name another with --bin")
        return path
    for profile in ("release", "debug"):
        path = os.path.join(ROOT, "target", profile, "dunlin")
        if os.access(path, os.X_OK):
            return path
    raise Failure("there is no target/release/dunlin and no target/debug/dunlin; run `cargo build -p dunlin` or use --bin")


class Run:
    """One run of one scenario."""

    def __init__(self, options):
        if options.scenario not in SCENARIOS:
            raise Failure(f"there is no scenario {options.scenario}; see scripts/loadtest --list")
        self.options = options
        self.name = options.scenario
        self.scenario = SCENARIOS[self.name]
        if options.url and self.scenario.needs_control:
            raise Failure(f"{self.name} needs the processes themselves, so it cannot run with --url")
        self.out = os.path.abspath(options.out or os.path.join(WORK, self.name))
        scale = options.scale if options.scale is not None else self.scenario.scale[options.size]
        self.scale = int(scale) if scale == int(scale) else scale
        needs_binary = not options.url or (options.baseline == "local" and not options.expected)
        self.binary = binary_of(options) if needs_binary else None
        self.store = None
        self.stack = None
        self.keys = {}

    # --- what is needed ---------------------------------------------------------------------------------

    def prepare(self):
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        k6.program()
        for url in self.options.url or []:
            if not answers(url.rstrip("/")):
                raise Failure(f"{url} does not answer /v1/ready with 200; start that gateway, or name another with --url")
        self.expected = self.checksums()
        if not self.options.url:
            self.start()

    def checksums(self):
        options = self.options
        if options.expected:
            return os.path.abspath(options.expected)
        if options.baseline == "inline":
            if not options.url:
                raise Failure("--baseline inline is for --url; without it a process of one's own is asked")
            if self.scenario.asks_inline:
                raise Failure(f"{self.name} asks inline too, so its checksums cannot come from there; leave --baseline away")
            path = os.path.join(self.out, "expected.json")
            data.from_gateway(options.url[0], path, self.scale, self.scenario.sets)
            return path
        return data.expected(self.binary, self.folder(), self.scale, self.scenario.sets, options.fresh)

    def folder(self):
        if self.options.data:
            folder = os.path.abspath(self.options.data)
            data.check(folder)
            return folder
        return data.make(self.binary, self.scale)

    def start(self):
        self.store = Store(os.path.join(self.out, "minio.run"))
        self.store.start()
        size = self.store.upload(self.folder(), "tables")
        say(f"{size / 1e6:.1f} MB of TPC-H data are in the store")
        self.make_keys()
        workers = self.options.workers or self.scenario.workers[self.options.size]
        gateways = self.options.gateways
        logs = os.path.join(self.out, "logs")
        self.stack = Stack(
            self.binary, self.config(), self.store.environment, gateways, workers, logs, self.keys.get("worker", (None, None))[0]
        )
        self.stack.start_gateways()
        if self.scenario.workers_run:
            for process in self.stack.workers:
                process.start()
        say(f"{gateways} gateways are ready, {workers} workers" + ("" if self.scenario.workers_run else " come later"))

    def make_keys(self):
        """One API key for each name: (the key, its lines of the configuration)."""
        for name in self.scenario.keys:
            made = subprocess.run([self.binary, "key", "new", "--name", name, "--scopes", "query"], stdout=subprocess.PIPE,
                                  text=True, check=False)
            key = re.search(r"^(dunlin_\S+)$", made.stdout, re.M)
            lines = re.search(r"^\[\[gateway\.keys\]\].*", made.stdout, re.M | re.S)
            if made.returncode != 0 or not key or not lines:
                raise Failure("`dunlin key new` did not print a key and its lines of the configuration")
            self.keys[name] = (key.group(1), lines.group(0))

    def config(self):
        """The configuration of all processes. It holds no secret: keys are hashed, credentials are in the environment."""
        path = os.path.join(self.out, "dunlin.toml")
        bucket = f"s3://{self.store.bucket}"
        text = f'[state]\nlocation = "{bucket}/state"\n\n[state.params]\nallow_http = true\n'
        text += data.tables_toml(f"{bucket}/tables", "[tables.params]\nallow_http = true\n")
        # As if the store were S3 and the workers containers of AWS, so that receipts have dollars.
        text += '\n[prices]\nregion = "us-east-1"\n' + CONTAINER + self.scenario.config
        text += "".join("\n" + lines for _, lines in self.keys.values())
        write_text(path, text)
        return path

    # --- the run ------------------------------------------------------------------------------------------

    def environment(self, urls, control):
        own = {
            "DUNLIN_URLS": ",".join(urls),
            "DUNLIN_SIZE": self.options.size,
            "DUNLIN_OUT": self.out,
            "DUNLIN_EXPECTED": self.expected,
            "DUNLIN_SCALE": str(self.scale),
            "DUNLIN_SLACK": str(self.slack()),
            "DUNLIN_LINKS": "no" if self.options.no_links else "yes",
            "DUNLIN_CONTROL": control.url if control else "",
        }
        if self.keys:
            own["DUNLIN_KEYS"] = json.dumps({name: key for name, (key, _) in self.keys.items()})
        elif os.environ.get("DUNLIN_API_KEY") and "DUNLIN_KEYS" not in os.environ:
            own["DUNLIN_KEYS"] = json.dumps({"default": os.environ["DUNLIN_API_KEY"]})
        for setting in self.options.set:
            name, found, value = setting.partition("=")
            if not found:
                raise Failure(f"--set {setting}: write --set NAME=VALUE")
            own[f"DUNLIN_SET_{name.upper()}"] = value
        return own

    def slack(self):
        if self.options.slack is not None:
            return self.options.slack
        return DEV_SLACK if self.binary and "debug" in self.binary else 1.0

    def measure(self):
        """Runs k6 beside the control server and the sampler; returns why it failed."""
        urls = self.options.url or [process.url for process in self.stack.gateways]
        control = sampler = None
        unseen = []
        script = os.path.join(LOADTESTS, f"{self.name}.js")
        html, log = os.path.join(self.out, "report.html"), os.path.join(self.out, "k6.log")
        if self.stack:
            before = self.store.requests()
            with Control(self.stack, self.store) as control, Sampler(self.stack, {"minio": self.store.pid}) as sampler:
                watcher = Watcher(self.stack.gateways, self.out) if self.options.live else None
                k6_cpu_s = children_cpu_s()
                status = k6.run(script, self.environment(urls, control), html, log)
                k6_cpu_s = children_cpu_s() - k6_cpu_s
                unseen = watcher.end() if watcher else []
        else:
            status = k6.run(script, self.environment(urls, None), html, log)
        figures = metrics.collect(self.stack.gateways, self.out, self.name != "smoke") if self.stack else {}
        asked = {name: n - before.get(name, 0) for name, n in self.store.requests().items()} if self.stack else {}
        dead = [] if not self.stack else [f"{p} ended by itself; see {shown(p.log)}" for p in self.dead()]
        late = self.stack.stop() if self.stack else []
        facts = self.facts(status)
        if sampler:
            facts["cores of k6"] = f"{k6_cpu_s / sampler.seconds:.2f}"
            facts["cores of other programs of the machine"] = f"{sampler.others_cores(k6_cpu_s):.2f}"
        summary = report.write(self.out, facts, sampler, control, figures, asked)
        wrong = report.verdict(status, summary, dead + late + unseen, self.scenario.may_break)
        if wrong:
            # What broke on purpose is no reason.
            lines = [line for line in tail(log, 2000).splitlines() if "Request Failed" not in line]
            sys.stderr.write("".join(f"{line}\n" for line in lines[-20:]))
        return wrong

    def dead(self):
        """Processes that should run and do not: nobody stopped them."""
        return [process for process in self.stack.all() if process.child and not process.alive() and not process.stopped]

    def facts(self, status):
        version = ""
        if self.binary:
            version = subprocess.run([self.binary, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
        return {
            "scenario": self.name,
            "size": self.options.size,
            "scale": self.scale,
            "k6 status": status,
            "binary": f"{shown(self.binary)} ({version})" if self.binary else "of the gateways that were there",
            "gateways": len(self.options.url or self.stack.gateways),
            "workers": len(self.stack.workers) if self.stack else "unknown",
            "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
            "load of the machine (1, 5, 15 min)": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
            "set": ", ".join(self.options.set) or "nothing",
        }

    def stop(self):
        if self.stack:
            self.stack.stop()
        if self.store:
            self.store.stop()


def children_cpu_s():
    """CPU seconds of child processes that have ended: during a run that is k6, and processes that a scenario killed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def raise_descriptors():
    """As many open files as the system allows: each client of k6 is a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def show_list():
    width = max(len(name) for name in SCENARIOS)
    for name, scenario in SCENARIOS.items():
        print(f"{name:{width}}  {scenario.about}")


def selftest():
    status = k6.run(os.path.join(LOADTESTS, "selftest.js"), {})
    return 0 if status == 0 else FAILED


def stop_on_signals():
    def leave(number, _):
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def main(arguments):
    options = parse(arguments)
    if options.list or not options.scenario:
        show_list()
        return 0 if options.list else 2
    stop_on_signals()
    raise_descriptors()
    try:
        if options.scenario == "selftest":
            return selftest()
        run = Run(options)
        try:
            run.prepare()
            wrong = run.measure()
        finally:
            run.stop()
    except Failure as failure:
        print(f"loadtest: error: {failure}", file=sys.stderr)
        return FAILED
    for reason in wrong:
        print(f"loadtest: {run.name}: {reason}", file=sys.stderr)
    say(f"{run.name}: {'failed' if wrong else 'everything held'}; reports are in {shown(run.out)}")
    return FAILED if wrong else 0
