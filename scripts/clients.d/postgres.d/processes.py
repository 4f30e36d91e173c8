"""Two gateways and a worker over one folder, with keys, TLS and TPC-H data."""

import os
import re
import shutil
import subprocess
import tempfile

from gateways import Process

TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]


class Failed(Exception):
    """An answer is wrong, or a process does not do what it should."""


class Fleet:
    """Processes that end with this object, each by its own id."""

    def __init__(self, bin_dir):
        self.dunlin = os.path.join(bin_dir, "dunlin")
        if not os.access(self.dunlin, os.X_OK):
            raise Failed(f"{self.dunlin} is missing: cargo build --workspace, or --bin-dir DIR")
        self.work = tempfile.mkdtemp(prefix="dunlin-clients.")
        self.processes = []
        self.gateways = []

    def __enter__(self):
        self.data = os.path.join(self.work, "data")
        self.call("tpch", "--scale", "0.01", "--files", "2", "--output", self.data)
        self.call("tls", "init", "--folder", os.path.join(self.work, "pki"))
        made = self.call("key", "new", "--name", "ci", "--scopes", "query,write")
        self.key = re.search(r"^dunlin_\S+$", made, re.M).group(0)
        self.ca = os.path.join(self.work, "pki", "ca.pem")
        keys = made[made.index("[[gateway.keys]]") :]
        plain = self.call("key", "new", "--name", "plain", "--scopes", "query")
        self.plain_key = re.search(r"^dunlin_\S+$", plain, re.M).group(0)
        without = re.sub(r"^scram = .*\n", "", plain[plain.index("[[gateway.keys]]") :], flags=re.M)
        self.config("open.toml", "")
        tls = f'[gateway.tls]\ncertificate = "{self.pem("server.pem")}"\nkey = "{self.pem("server.key")}"\n'
        self.config("keys.toml", keys + without + tls)
        for name, config in [("first", "open.toml"), ("second", "open.toml"), ("keys", "keys.toml")]:
            self.gateways.append(self.gateway(name, config))
        self.start("worker", "worker", "--config", os.path.join(self.work, "open.toml"), "--slots", "2")
        return self

    def pem(self, name):
        return os.path.join(self.work, "pki", name)

    def config(self, name, more):
        tables = "".join(
            f'[[tables]]\nname = "{table}"\nlocation = "file://{self.data}/{table}/"\nformat = "parquet"\n' for table in TABLES
        )
        writing = f'[[writing]]\nlocation = "file://{self.work}/written/"\ntables = true\n'
        text = f'[state]\nlocation = "file://{self.work}/state/"\n{tables}{writing}{more}'
        with open(os.path.join(self.work, name), "w", encoding="utf-8") as file:
            file.write(text)

    def call(self, *arguments):
        done = subprocess.run([self.dunlin, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"dunlin {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def start(self, name, *arguments):
        process = Process(self.work, name, [self.dunlin, *arguments])
        self.processes.append(process)
        return process

    def gateway(self, name, config):
        """Starts a gateway; returns its port for Postgres and its address for HTTP."""
        path = os.path.join(self.work, config)
        process = self.start(name, "gateway", "--config", path, "--http", "127.0.0.1:0", "--postgres", "127.0.0.1:0")
        http = process.said("dunlin gateway listening on ").split()[0]
        port = int(process.said("dunlin gateway serves Postgres on postgres://127.0.0.1:").split()[0])
        return {"port": port, "http": http}

    def defects(self):
        """Lines of the logs that tell of a defect."""
        found = []
        for process in self.processes:
            with open(process.log, encoding="utf-8") as file:
                found += [line.strip() for line in file if "panicked" in line or "met a defect" in line]
        return found

    def __exit__(self, *_):
        for process in self.processes:
            process.stop()
        shutil.rmtree(self.work, ignore_errors=True)
