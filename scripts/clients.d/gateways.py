"""What the scripts of several protocols share: getting clients, and processes of Dunlin."""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOOLS = os.path.join(ROOT, ".tools")
NOT_TESTED = 3
READY_SECONDS = 60
KEYS = {"reader": ["query"], "writer": ["query", "write"], "other": ["query"]}


def say(text):
    print(f"clients: {text}", flush=True)


def not_tested(why):
    print(f"clients: NOT TESTED: {why}", file=sys.stderr)
    sys.exit(NOT_TESTED)


def fail(why):
    print(f"clients: error: {why}", file=sys.stderr)
    sys.exit(1)


def pinned(folder, pins):
    """Whether a folder holds what these pins name."""
    try:
        with open(os.path.join(folder, "pins"), encoding="utf-8") as file:
            return file.read() == "\n".join(pins)
    except OSError:
        return False


def pin(folder, pins):
    with open(os.path.join(folder, "pins"), "w", encoding="utf-8") as file:
        file.write("\n".join(pins))


def environment(folder, pins):
    """Installs packages of Python into an environment of their own."""
    if pinned(folder, pins):
        return
    os.makedirs(TOOLS, exist_ok=True)
    say(f"installing {', '.join(pins)} into {os.path.relpath(folder, ROOT)}")
    if subprocess.run([sys.executable, "-m", "venv", folder]).returncode:
        not_tested("python3 -m venv failed; on Debian: apt-get install python3-venv")
    if subprocess.run([f"{folder}/bin/pip", "install", "--quiet", *pins]).returncode:
        not_tested("pip install failed")
    pin(folder, pins)


def driver(folder, artifact):
    """Gets a JDBC driver."""
    if pinned(folder, [artifact]):
        return
    for tool in ["java", "javac", "mvn"]:
        if not shutil.which(tool):
            not_tested(f"{tool} is missing; on Debian: apt-get install default-jdk-headless maven")
    say(f"getting {artifact} into {os.path.relpath(folder, ROOT)}")
    os.makedirs(folder, exist_ok=True)
    got = subprocess.run(["mvn", "-q", "-B", "dependency:get", f"-Dartifact={artifact}", "-Dtransitive=false"])
    if got.returncode:
        not_tested("mvn dependency:get failed")
    group, name, version = artifact.split(":")
    parts = [*group.split("."), name, version, f"{name}-{version}.jar"]
    shutil.copy(os.path.join(os.path.expanduser("~/.m2/repository"), *parts), os.path.join(folder, "driver.jar"))
    pin(folder, [artifact])


def java(work, folder, program, *flags):
    """The command of a program of checks, which is compiled with what all of them share."""
    jar, classes = os.path.join(folder, "driver.jar"), os.path.join(work, "classes")
    sources = [os.path.join(HERE, f"{name}.java") for name in ["JdbcChecks", program]]
    if subprocess.run(["javac", "-cp", jar, "-d", classes, *sources]).returncode:
        fail(f"{program}.java does not compile")
    return ["java", *flags, "-Xmx512m", "-cp", f"{jar}{os.pathsep}{classes}", program]


def configuration(work):
    """Keys, TPC-H tables, and a place for what clients write."""
    text = [f'[state]\nlocation = "file://{work}/state/"\n']
    for name, scopes in KEYS.items():
        digest = hashlib.sha256(f"key-of-{name}".encode()).hexdigest()
        scopes = ", ".join(f'"{scope}"' for scope in scopes)
        text.append(f'[[gateway.keys]]\nname = "{name}"\nsha256 = "{digest}"\nscopes = [{scopes}]\n')
    text.append(f'[[writing]]\nlocation = "file://{work}/made/"\ntables = true\n')
    for name in sorted(os.listdir(f"{work}/data")):
        text.append(f'[[tables]]\nname = "{name}"\nlocation = "file://{work}/data/{name}/"\n')
    with open(f"{work}/dunlin.toml", "w", encoding="utf-8") as file:
        file.write("\n".join(text))


def data(work, binary):
    """TPC-H data at scale 0.01, and a configuration over it."""
    command = [binary, "tpch", "--scale", "0.01", "--output", f"{work}/data"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    configuration(work)
    return ["--config", f"{work}/dunlin.toml"]


def certificates(work, binary):
    """Flags of a gateway with certificates for localhost."""
    subprocess.run([binary, "tls", "init", "--folder", f"{work}/pki", "localhost"], check=True, stdout=subprocess.DEVNULL)
    values = [f"gateway.tls.certificate={work}/pki/server.pem", f"gateway.tls.key={work}/pki/server.key"]
    return [word for value in values for word in ["--set", value]]


class Process:
    """A process of Dunlin, and what it prints."""

    def __init__(self, work, name, command):
        self.log = f"{work}/{name}.log"
        self.out = f"{work}/{name}.out"
        with open(self.out, "wb") as out, open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=out, stderr=log)

    def said(self, start):
        """The rest of the line that starts so, once it is printed."""
        for _ in range(READY_SECONDS * 10):
            with open(self.out, encoding="utf-8") as file:
                for line in file:
                    if line.startswith(start) and line.endswith("\n"):
                        return line[len(start) :].strip()
            if self.process.poll() is not None:
                with open(self.log, encoding="utf-8") as file:
                    fail(f"a process ended: {file.read()[-2000:]}")
            time.sleep(0.1)
        fail(f"no line {start!r} after {READY_SECONDS} s")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def checked(processes):
    """No process met a defect, and none has written a key."""
    for process in processes:
        with open(process.log, encoding="utf-8") as file:
            log = file.read()
        defects = [line for line in log.splitlines() if "panicked" in line or "INTERNAL" in line]
        if defects:
            fail(f"a process met a defect: {defects[0]}")
        if "key-of-" in log:
            fail(f"a key is in {process.log}")


def arguments(parser):
    """What every script of clients takes."""
    parser.add_argument("--bin-dir", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "debug"))
    parser.add_argument("--setup-only", action="store_true")


def main(what, set_up, run):
    """Reads the arguments, gets the clients, and runs them in a folder of their own."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments(parser)
    options = parser.parse_args()
    set_up()
    if options.setup_only:
        return
    binary = os.path.join(os.path.abspath(options.bin_dir), "dunlin")
    if not os.access(binary, os.X_OK):
        fail(f"{binary} is missing: cargo build --workspace, or --bin-dir DIR")
    work = tempfile.mkdtemp(prefix="dunlin-clients.")
    run(work, binary)
    shutil.rmtree(work)
