"""Checks an image of the gateway or the worker: it holds the binary, four packages of Debian and nothing that helps an
intruder; it runs as nobody in particular, has a health check, and says where it comes from.

    check_image.py INSPECTED LISTING     what `podman image inspect` and `tar -tv` of the exported image print

Exits 1 and says what is wrong.
"""

import json
import re
import sys

# What the image is for, and the loader and libraries of libc6 and libgcc-s1. Nothing else may be executable.
PROGRAMS = re.compile(r"usr/bin/(dunlin|dunlin-worker)$|(usr/)?lib(64)?/([\w-]+/)?(ld-linux|libc\.so|libgcc_s)[\w.-]*$")
USER = "65532:65532"
LABELS = ("title", "description", "version", "revision", "created", "licenses", "source", "documentation")
NONROOT = ("home/nonroot/", "var/lib/dunlin/")
PACKAGES = {"ca-certificates", "gcc-12-base", "libc6", "libgcc-s1"}
NEEDED = {"etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt", "tmp/"}
# The engine puts these into every container.
OF_THE_ENGINE = {"dev/", "proc/", "sys/", "run/", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "dev/console"}
ENTRY = re.compile(r"(?P<mode>\S{10}) (?P<owner>\S+) +(?P<size>\d+) \S+ \S+ (?P<name>.+?)(?: -> .*)?$")


def entries(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            found = ENTRY.match(line.rstrip("\n"))
            if not found:
                raise SystemExit(f"check: this line of {path} is not understood: {line!r}")
            yield found


def wrong(entry):
    """What is wrong with an entry, if something is."""
    mode, owner, name = entry["mode"], entry["owner"], entry["name"]
    if "s" in mode.lower().replace("-", ""):
        return "runs with another user's rights (setuid or setgid)"
    if mode[0] not in "-dlh":
        return "is a device or a socket"
    if mode[0] != "l" and mode[8] == "w" and name != "tmp/":
        return "may be written by everybody"
    if name not in NONROOT and owner not in ("root/root", "0/0"):
        return f"belongs to {owner}"
    if mode[0] in "-h" and "x" in mode and not PROGRAMS.search(name):
        return "is a program that nothing needs"
    return None


def wrong_about(path):
    """What is wrong with what the image says of itself."""
    with open(path, encoding="utf-8") as file:
        image = json.load(file)[0]
    config, labels = image["Config"], image.get("Labels") or {}
    if config.get("User") != USER:
        yield f"it runs as {config.get('User')!r}, and not as {USER}"
    if not (image.get("Healthcheck") or config.get("Healthcheck") or {}).get("Test"):
        yield "it has no health check: it was built in the OCI format, or with layers of that format (build it with --no-cache)"
    if config.get("StopSignal") != "SIGTERM":
        yield f"it is stopped by {config.get('StopSignal')}, and not by SIGTERM"
    for label in LABELS:
        if not labels.get(f"org.opencontainers.image.{label}"):
            yield f"it has no label org.opencontainers.image.{label}"


def wrong_in(path):
    """What is wrong with its files."""
    names, binaries = set(), []
    for entry in entries(path):
        name = entry["name"]
        if name in OF_THE_ENGINE:
            continue
        names.add(name)
        if re.match(r"usr/bin/dunlin", name):
            binaries.append(name)
        problem = wrong(entry)
        if problem:
            yield f"{name} {problem}"
    yield from (f"{name} is missing" for name in sorted(NEEDED - names))
    packages = {name.rsplit("/", 1)[1] for name in names if re.match(r"var/lib/dpkg/status\.d/.", name)}
    if packages != PACKAGES:
        yield f"its packages are {sorted(packages)}, and not {sorted(PACKAGES)}"
    if len(binaries) != 1:
        yield f"it has these binaries of Dunlin: {binaries}, and should have one"


def main(inspected, listing):
    problems = [*wrong_about(inspected), *wrong_in(listing)]
    for problem in problems:
        print(f"check: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    sys.exit(main(*sys.argv[1:]))
