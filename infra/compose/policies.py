"""The policies of the gateways' and the workers' users at MinIO, made from the ones of terraform/policies.

    policies.py            writes infra/compose/policies/*.json
    policies.py --check    exits 1 if they are not what terraform/policies says now

What is left out: statements about KMS, Lambda and logs, which MinIO does not have.
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TEMPLATES = os.path.join(HERE, "..", "..", "terraform", "policies")
STATE, TABLES = "arn:aws:s3:::dunlin-state", "arn:aws:s3:::dunlin-tables"
VALUES = {
    "state_bucket_arn": STATE,
    "state_prefix": "state",
    "data_bucket_arns": [TABLES],
    "data_object_arns": [f"{TABLES}/*"],
    "data_prefixes": ["*"],
    "write_bucket_arns": [TABLES],
    "write_object_arns": [f"{TABLES}/warehouse/*"],
}
# Users of compose.yaml that Terraform does not have.
OWN = {
    "seed": [
        {
            "Sid": "WriteTables",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": [f"{TABLES}/tpch/*"],
        },
        {"Sid": "ListTables", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [TABLES]},
    ]
}


def rendered(name):
    with open(os.path.join(TEMPLATES, f"{name}.json.tftpl"), encoding="utf-8") as file:
        text = file.read()
    for key, value in VALUES.items():
        text = text.replace("${jsonencode(%s)}" % key, json.dumps(value)).replace("${%s}" % key, str(value))
    # Resources of services that are not here.
    parts = text.split("${jsonencode(")
    text = parts[0] + "".join("[]" + part.split(")}", 1)[1] for part in parts[1:])
    if "${" in text:
        raise SystemExit(f"policies: {name} has a value that policies.py does not know: {text[text.index('${'):][:60]}")
    statements = [statement for statement in json.loads(text)["Statement"] if statement["Resource"]]
    for statement in statements:
        if not all(action.startswith("s3:") for action in statement["Action"]):
            raise SystemExit(f"policies: {name} allows {statement['Action']}, which is not about S3")
    return statements


def main(check):
    policies = {name: rendered(name) for name in ("gateway", "worker")} | OWN
    deletes = [action for statement in policies["worker"] for action in statement["Action"] if "Delete" in action]
    if deletes:
        raise SystemExit(f"policies: a worker may {deletes}, and a worker deletes nothing")
    different = []
    for name, statements in policies.items():
        path = os.path.join(HERE, "policies", f"{name}.json")
        text = json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2) + "\n"
        if check:
            with open(path, encoding="utf-8") as file:
                different += [] if file.read() == text else [name]
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    if different:
        print(f"policies: {different} differ from terraform/policies; run python3 infra/compose/policies.py", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        raise SystemExit(__doc__)
    sys.exit(main(check=bool(sys.argv[1:])))
