"""TPC-H data, and the checksums that answers over it must have."""

import hashlib
import os
import shutil
import subprocess

from . import k6
from .stack import Process, ready
from .tools import LOADTESTS, WORK, Failure, free_port, say, shown, tail, write_text

TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
# What decides about checksums, next to the data.
SOURCES = ["baseline.js", "sql/tpch.sql", "lib/queries.js", "lib/checksums.js", "lib/arrow.js"]


def make(binary, scale):
    """The folder with TPC-H data of a scale; made once."""
    folder = os.path.join(WORK, "data", f"tpch-{scale}")
    if os.path.isdir(folder):
        return folder
    say(f"making TPC-H data at scale {scale} in {shown(folder)}")
    # A name of its own until it is whole: an interrupted run leaves no half of the data under the final name.
    partial = f"{folder}.partial-{os.getpid()}"
    done = subprocess.run([binary, "tpch", "--scale", str(scale), "--output", partial], stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        shutil.rmtree(partial, ignore_errors=True)
        raise Failure(f"`dunlin tpch --scale {scale}` failed; the lines above say why")
    os.rename(partial, folder)
    return folder


def check(folder):
    missing = [table for table in TABLES if not os.path.isdir(os.path.join(folder, table))]
    if missing:
        raise Failure(f"{folder} has no folder {missing[0]}; --data needs the folder that `dunlin tpch` writes")


def tables_toml(location, params=""):
    """`[[tables]]` of all tables below a location."""
    return "".join(f'\n[[tables]]\nname = "{name}"\nlocation = "{location}/{name}/"\n{params}' for name in TABLES)


def _key(folder, sets):
    digest = hashlib.sha256(",".join(sets).encode())
    for name in SOURCES:
        with open(os.path.join(LOADTESTS, name), "rb") as file:
            digest.update(file.read())
    for where, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(where, name)
            digest.update(f"{os.path.relpath(path, folder)} {os.path.getsize(path)}\n".encode())
    return digest.hexdigest()[:16]


def expected(binary, folder, scale, sets, fresh):
    """The file of checksums: from one process over the folder, with nothing of what the scenarios test."""
    path = os.path.join(WORK, "expected", f"tpch-{scale}-{_key(folder, sets)}.json")
    if os.path.exists(path) and not fresh:
        return path
    say("asking one process, over the folder and inline, for the answers that are expected")
    logs = os.path.join(WORK, "expected", f"process-{os.getpid()}")
    config = os.path.join(logs, "dunlin.toml")
    write_text(config, '[state]\nlocation = "memory://"\n\n[routing]\nmode = "inline"\n' + tables_toml(folder))
    url = f"http://127.0.0.1:{free_port()}"
    command = [binary, "run", "--config", config, "--workers", "1", "--http", url.split("//")[1]]
    process = Process("baseline", 0, command, {}, os.path.join(logs, "log"))
    process.start()
    try:
        ready(process, url)
        from_gateway(url, path, scale, sets)
    except Failure as failure:
        raise Failure(f"{failure}\n{tail(process.log)}") from failure
    finally:
        process.stop("term")
    shutil.rmtree(logs, ignore_errors=True)
    return path


def from_gateway(url, path, scale, sets):
    """Writes the checksums of what one gateway answers inline."""
    partial = f"{path}.partial-{os.getpid()}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    environment = {
        "DUNLIN_URLS": url,
        "DUNLIN_EXPECTED_OUT": partial,
        "DUNLIN_SETS": ",".join(sets),
        "DUNLIN_SCALE": str(scale),
    }
    status = k6.run(os.path.join(LOADTESTS, "baseline.js"), environment)
    if status != 0 or not os.path.exists(partial):
        raise Failure("the expected checksums could not be made; the lines above say why")
    os.rename(partial, path)
