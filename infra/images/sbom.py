"""What is in an image of Dunlin, as a CycloneDX list (SBOM), validated against the published schema.

    sbom.py CRATE FOLDER IMAGE OUT     CRATE is the package whose binary is in IMAGE; FOLDER has what the image says of its
                                       packages of Debian (var/lib/dpkg/status.d and usr/share/doc); OUT is written

The crates are those that the binary links, as `cargo tree --locked` resolves them for this platform. Crates that only build
scripts and procedural macros use are not in the binary, and not in the list.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tomllib
import urllib.parse
import uuid

SPEC = "1.6"
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
# What the copyright files of these packages say, in SPDX's words; they have no such line themselves.
DEBIAN_LICENCES = {
    "libc6": "LGPL-2.1-or-later",
    "libgcc-s1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "gcc-12-base": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "ca-certificates": "GPL-2.0-or-later AND MPL-2.0",
}


HOST = f"{platform.machine()}-unknown-linux-gnu"


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked", "--offline"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"sbom: {' '.join(command)} failed; build Dunlin first\n{ran.stderr}")
    return ran.stdout


def linked(crate):
    """The package itself, and those that its binary links by id, and the arrows between them."""
    lines = cargo("tree", "--package", crate, "--edges", "normal,no-proc-macro", "--prefix", "none", "--target", HOST).splitlines()
    names = {tuple(line.split(" ")[:2]) for line in lines if line}
    # `cargo metadata` has all facts, but resolves features for the whole workspace, which links more.
    graph = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", HOST))
    packages = {
        package["id"]: package for package in graph["packages"] if (package["name"], f"v{package['version']}") in names
    }
    if len(packages) != len(names):
        raise SystemExit("sbom: cargo tree and cargo metadata do not name the same packages")
    arrows = {
        node["id"]: sorted(edge["pkg"] for edge in node["deps"] if edge["pkg"] in packages and is_normal(edge))
        for node in graph["resolve"]["nodes"]
        if node["id"] in packages
    }
    start = next(id for id, package in packages.items() if package["name"] == crate)
    return start, packages, arrows


def is_normal(edge):
    return any(kind["kind"] is None for kind in edge["dep_kinds"])


def checksums():
    with open(os.path.join(ROOT, "Cargo.lock"), "rb") as file:
        lock = tomllib.load(file)
    return {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}


def purl(package):
    return f"pkg:cargo/{package['name']}@{urllib.parse.quote(package['version'])}"


def licences(package):
    if package.get("license"):
        # Some old crates write A/B for A OR B.
        return [{"expression": package["license"].replace("/", " OR ")}]
    if package.get("license_file"):
        return [{"license": {"name": f"see {package['license_file']} of the crate"}}]
    return None


def crate_component(package, sums):
    component = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    }
    if package.get("description"):
        component["description"] = " ".join(package["description"].split())
    if licences(package):
        component["licenses"] = licences(package)
    sum = sums.get((package["name"], package["version"]))
    if sum:
        component["hashes"] = [{"alg": "SHA-256", "content": sum}]
    if package.get("repository"):
        component["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return component


def debian_components(folder):
    status = os.path.join(folder, "var/lib/dpkg/status.d")
    for name in sorted(os.listdir(status)):
        with open(os.path.join(status, name), encoding="utf-8") as file:
            fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", file.read(), re.M))
        version = urllib.parse.quote(fields["Version"], safe="")
        reference = f"pkg:deb/debian/{name}@{version}?arch={fields['Architecture']}&distro=bookworm"
        yield {
            "type": "library",
            "bom-ref": reference,
            "name": name,
            "version": fields["Version"],
            "purl": reference,
            "description": fields.get("Description", ""),
            "licenses": [{"expression": DEBIAN_LICENCES[name]}],
        }


def bom(crate, folder, image):
    start, packages, arrows = linked(crate)
    sums = checksums()
    crates = [crate_component(package, sums) for id, package in packages.items() if id != start]
    crates.sort(key=lambda component: component["bom-ref"])
    debian = list(debian_components(folder))
    own = packages[start]
    dependencies = [{"ref": purl(packages[id]), "dependsOn": sorted({purl(packages[to]) for to in tos})} for id, tos in arrows.items()]
    # The binary is linked to the C library; the certificates are for its TLS.
    next(one for one in dependencies if one["ref"] == purl(own))["dependsOn"] += [component["bom-ref"] for component in debian]
    text = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": purl(own),
                "name": image,
                "version": own["version"],
                "licenses": [{"expression": own["license"]}],
            },
            "tools": {"components": [{"type": "application", "name": "infra/images/sbom.py", "version": own["version"]}]},
        },
        "components": crates + debian,
        "dependencies": sorted(dependencies, key=lambda one: one["ref"]),
    }
    # The same content has the same number.
    digest = hashlib.sha256(json.dumps(text, sort_keys=True).encode()).digest()
    text["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}"
    return text, len(crates), len(debian)


def validate(text):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem:
        raise SystemExit(f"sbom: the list does not fit CycloneDX {SPEC}: {problem}")


def main(crate, folder, image, out):
    made, crates, packages = bom(crate, folder, image)
    unknown = [component["name"] for component in made["components"] if not component.get("licenses")]
    text = json.dumps(made, indent=2) + "\n"
    validate(text)
    with open(out, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"sbom: {os.path.relpath(out)}: {crates} crates and {packages} packages of Debian, valid CycloneDX {SPEC}")
    if unknown:
        print(f"sbom: without a licence: {', '.join(unknown)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    sys.exit(main(*sys.argv[1:]))
