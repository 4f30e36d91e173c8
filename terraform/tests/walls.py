#!/usr/bin/env python3
"""What no plan can show: the form of the policies' templates, that every validation has a test, and that some things are
nowhere in this folder. Prints what is wrong, and fails if anything is."""

import pathlib
import re
import sys

from docs import blocks

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A test of the Rust workspace renders the same files and knows these two forms only.
PLACEHOLDER = re.compile(r"\$\{(?:[a-z_]+|jsonencode\([a-z_]+\))\}")


def sources(pattern):
    return [path for path in sorted(ROOT.rglob(pattern)) if ".terraform" not in path.parts]


def templates():
    for path in sources("*.tftpl"):
        rest = PLACEHOLDER.sub("", path.read_text())
        if "${" in rest or "%{" in rest:
            yield f"{path.name}: a placeholder has another form than ${{name}} and ${{jsonencode(name)}}"


def validations():
    """Each validation has a run of its own in which the variable fails."""
    tests = (ROOT / "tests/variables.tftest.hcl").read_text()
    for name, body in blocks((ROOT / "variables.tf").read_text(), "variable"):
        has = len(re.findall(r"^  validation \{$", body, re.M))
        tested = len(re.findall(rf"^    var\.{name},$", tests, re.M))
        if tested < has:
            yield f"variable {name} has {has} validations and {tested} tests"


def guards():
    tests = "".join(path.read_text() for path in sources("*.tftest.hcl"))
    text = (ROOT / "main.tf").read_text()
    for name in re.findall(r"^    ([a-z_]+) = \{$", text[text.index("  guards = {") :], re.M):
        if f'terraform_data.guard["{name}"]' not in tests:
            yield f"the guard {name} has no test"


def nowhere():
    """No NAT gateway (it costs by the hour), no credentials, no path of a machine."""
    bad = {
        r"aws_nat_gateway": "a NAT gateway",
        r"\b(AKIA|ASIA)[0-9A-Z]{16}\b": "an access key",
        r"\bdk_[A-Za-z0-9_-]{20,}": "an API key",
        r"(?<![\w.:])/(?:home|root|work|Users)/": "a path of a machine",
    }
    for path in sources("*"):
        if not path.is_file() or path.suffix not in {".tf", ".hcl", ".tftpl", ".md", ".json", ".yaml"}:
            continue
        for pattern, what in bad.items():
            if re.search(pattern, path.read_text()) and path.name != "variables.tftest.hcl":
                yield f"{path.relative_to(ROOT)} has {what}"


def main():
    wrong = [line for wall in (templates, validations, guards, nowhere) for line in wall()]
    for line in wrong:
        print(f"terraform: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
