#!/usr/bin/env python3
"""Asks a moto server what Terraform has made, through AWS's own API.

    look.py package DIR BUILD          writes a package as scripts/lambda-zip would, with zips of no use
    look.py made URL OUTPUTS PACKAGES BUILD…
                                       checks what is there, oldest build first; OUTPUTS is the file of
                                       `terraform output -json`, PACKAGES the folder with the package of each build
    look.py fill URL OUTPUTS           puts an object into the state bucket
    look.py kept URL OUTPUTS LOG       checks that a destroy with this log was refused, and that the object is still there
    look.py empty URL OUTPUTS          empties the state bucket, as docs/aws.md says
    look.py gone URL                   checks that nothing is left
    look.py bucket URL                 makes the bucket of the second installation
"""

import base64
import hashlib
import io
import json
import pathlib
import sys
import zipfile

REGION = "eu-central-1"
GIVEN = "given"
# Functions that callers invoke by their build, by installation.
CALLED = {
    "dunlin": ["dunlin-worker-1769", "dunlin-worker-big-1769", "dunlin-sweeper"],
    "second": ["second-worker-1769", "second-sweeper"],
}


def package(folder, build):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    described = {"build": build, "version": "0.1.0"}
    for part in ("worker", "gateway"):
        bytes_of = io.BytesIO()
        with zipfile.ZipFile(bytes_of, "w") as made:
            made.writestr(zipfile.ZipInfo("bootstrap"), f"{part} of {build}: not a program\n")
        data = bytes_of.getvalue()
        (folder / f"{part}.zip").write_bytes(data)
        described[part] = {"file": f"{part}.zip", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "build.json").write_text(json.dumps(described))


def clients(url):
    import boto3

    def client(service):
        return boto3.client(service, endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")

    return client


def check(what, holds):
    if not holds:
        sys.exit(f"terraform: moto: this does not hold: {what}")
    check.count += 1


check.count = 0


def sha_of(packages, build):
    """The hash of a build's worker as Lambda tells it."""
    return base64.b64encode(hashlib.sha256((pathlib.Path(packages) / build / "worker.zip").read_bytes()).digest()).decode()


def made(url, outputs, packages, builds):
    client = clients(url)
    outputs = {name: output["value"] for name, output in json.loads(pathlib.Path(outputs).read_text()).items()}

    # Bucket
    s3, bucket = client("s3"), outputs["state_bucket"]
    policy = {one["Sid"]: one for one in json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]}
    check("the bucket takes TLS only", policy["DenyPlainHttp"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}})
    once = policy["DecisionsAreWrittenOnce"]
    check("decisions need If-None-Match", once["Condition"] == {"Null": {"s3:if-none-match": "true"}} and f"arn:aws:s3:::{bucket}/dunlin/end/*" in once["Resource"])
    check("public access is blocked", all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()))
    sse = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    check("the bucket is encrypted", sse["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256")
    check("there are no versions", s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled")
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    days = {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in rules if "Expiration" in rule}
    check("the lifecycle", days["dunlin/data/"] == 1 and days["dunlin/res/"] == 2 and days["dunlin/q/"] == 7 and days["dunlin/use/"] == 7 and len(days) == 10)

    # The second installation's configuration is too long for an environment: an object for each text of each build.
    keys = {one["Key"] for one in s3.list_objects_v2(Bucket=GIVEN)["Contents"]}
    wanted = {f"dunlin/config/{sha}.toml" for old in outputs["build_versions"]["second"].values() for sha in old["configs"]}
    # Without API keys the gateway has the text of the workers.
    check("the texts of the configuration, those of older builds too", keys == wanted and len(keys) == len(builds))
    for key in keys:
        body = s3.get_object(Bucket=GIVEN, Key=key)["Body"].read()
        check("a text's key is its hash", key == f"dunlin/config/{hashlib.sha256(body).hexdigest()}.toml")
    sha = hashlib.sha256(outputs["config"]["gateway"].encode()).hexdigest()
    check("the gateway's text is what the output shows", f"dunlin/config/{sha}.toml" in keys)

    # Functions
    functions = client("lambda")
    for installation, called in CALLED.items():
        for name in [*called, f"{installation}-gateway"]:
            got = functions.get_function_configuration(FunctionName=name)
            check(f"{name} runs the binary", got["Runtime"] == "provided.al2023" and got["Handler"] == "bootstrap")
            check(f"{name} is in no VPC", not got.get("VpcConfig", {}).get("SubnetIds"))
            environment = got["Environment"]["Variables"]
            check(f"{name} knows its installation", environment["DUNLIN_INSTALLATION"] == installation)
            if installation == "dunlin":
                text = environment["DUNLIN_CONFIG_TOML"]
                is_gateway = name == "dunlin-gateway"
                check(f"{name} is told of clients only if it is the gateway", all((part in text) == is_gateway for part in ("[[gateway.keys]]", "[gateway.oidc]", "[[gateway.workgroups]]", "[[routing.pools]]")))
                check(f"{name} knows the functions of the pool", '[[functions.class]]\npool = "big"\nmemory_mb = 1769\nnames = ["dunlin-worker-big-1769"]' in text)
                check(f"{name} is in the pool only if it is named after it", environment.get("DUNLIN__WORKER__POOL") == ("big" if "-big-" in name else None))
                secret = hashlib.sha256(b"codes of a test").hexdigest()
                check(f"{name} has the secret of codes only if it is the gateway, and in no text", (environment.get("DUNLIN_OIDC_SECRET") == secret) == is_gateway and secret not in text)
                check(f"{name} writes down what clients do only if it is the gateway", ("DUNLIN__GATEWAY__AUDIT" in environment) == is_gateway)
            else:
                check(f"{name} reads its text from the bucket", environment["DUNLIN_CONFIG"].removeprefix(f"s3://{GIVEN}/") in keys)
        for name in called:
            aliases = {one["Name"]: one["FunctionVersion"] for one in functions.list_aliases(FunctionName=name)["Aliases"]}
            versions = {build: outputs["build_versions"][installation][build]["versions"][name] for build in builds}
            check(f"{name} has an alias for each build, with the version of the output", aliases == versions)
            check(f"each build of {name} has a version of its own", len(set(aliases.values())) == len(builds))
            for build in builds:
                code = functions.get_function(FunctionName=name, Qualifier=build)["Configuration"]["CodeSha256"]
                check(f"{name}:{build} is the code of that build", code == sha_of(packages, build))
                config = functions.get_function_event_invoke_config(FunctionName=name, Qualifier=build)
                check(f"{name}:{build} does not retry", config["MaximumRetryAttempts"] == 0 and config["MaximumEventAgeInSeconds"] == 60)
        live = functions.get_alias(FunctionName=f"{installation}-gateway", Name="live")["FunctionVersion"]
        check(f"the live version of {installation} is the newest", live == str(len(builds)))
        address = functions.get_function_url_config(FunctionName=f"{installation}-gateway", Qualifier="live")
        check("the URL streams", address["InvokeMode"] == "RESPONSE_STREAM")
        check("who may call the URL", address["AuthType"] == {"dunlin": "NONE", "second": "AWS_IAM"}[installation])
        if installation == "dunlin":
            check("the line to paste has the URL and no key", address["FunctionUrl"].rstrip("/") in outputs["curl"] and "$DUNLIN_API_KEY" in outputs["curl"])
    stacks = [one["StackName"] for one in client("cloudformation").list_stacks()["StackSummaries"]]
    check("only a public URL has a public permission", stacks == ["dunlin-url-permission"])
    stack = client("cloudformation").get_template(StackName="dunlin-url-permission")["TemplateBody"]
    stack = json.loads(stack) if isinstance(stack, str) else stack
    check("the second permission", stack["Resources"]["InvokeViaUrl"]["Properties"]["InvokedViaFunctionUrl"] is True)

    # Roles
    iam = client("iam")
    for role in ("worker", "sweeper", "gateway", "scheduler"):
        document = iam.get_role_policy(RoleName=f"dunlin-{role}", PolicyName="dunlin")["PolicyDocument"]
        actions = {action for one in document["Statement"] for action in one["Action"]}
        # GetAccountSettings knows no resource.
        named = [one for one in document["Statement"] if one["Action"] != ["lambda:GetAccountSettings"]]
        resources = {resource for one in named for resource in one["Resource"]}
        check(f"{role}: no action and no resource is *", not any("*" in action for action in actions) and "*" not in resources)
        check(f"{role}: who deletes", ("s3:DeleteObject" in actions) == (role in ("sweeper", "gateway")))
        check(f"{role}: nothing else is attached", not iam.list_attached_role_policies(RoleName=f"dunlin-{role}")["AttachedPolicies"])
    worker = iam.get_role_policy(RoleName="dunlin-worker", PolicyName="dunlin")["PolicyDocument"]["Statement"]
    wakes = [resource for one in worker if one["Action"] == ["lambda:InvokeFunction"] for resource in one["Resource"]]
    check("a worker may call the functions of the pool", any(one.endswith(":function:dunlin-worker-big-1769:*") for one in wakes))
    puts = [resource for one in worker if one["Action"] == ["s3:PutObject"] for resource in one["Resource"]]
    check("a worker cannot put a root", puts and not any(put.endswith(("/root", "/q/*", "/dunlin/*")) for put in puts))

    # Schedule
    scheduler = client("scheduler")
    for installation in CALLED:
        for build in builds:
            schedule = scheduler.get_schedule(Name=f"{installation}-sweep-{build}")
            check(f"{build} is swept", schedule["State"] == "ENABLED" and schedule["ScheduleExpression"] == "rate(1 minute)")
            target = schedule["Target"]
            check(f"the sweep of {build} calls its alias", target["Arn"].endswith(f"function:{installation}-sweeper:{build}"))
            check(f"the sweep of {build} says so", json.loads(target["Input"]) == {"sweep": True})

    # Observability
    names = [name for installation, called in CALLED.items() for name in [*called, f"{installation}-gateway"]]
    logs = client("logs").describe_log_groups()["logGroups"]
    check("logs end", {group["logGroupName"]: group["retentionInDays"] for group in logs} == {f"/aws/lambda/{name}": 14 for name in names})
    watch = client("cloudwatch")
    check("alarms", len(watch.describe_alarms()["MetricAlarms"]) == 8)
    check("the dashboard", "OpenTasks" in watch.get_dashboard(DashboardName="dunlin")["DashboardBody"])
    check("the topic", len(client("sns").list_topics()["Topics"]) == 1)
    print(f"terraform: moto: {check.count} statements about {', '.join(builds)} hold")


def bucket(url):
    clients(url)("s3").create_bucket(Bucket=GIVEN, CreateBucketConfiguration={"LocationConstraint": REGION})


# What a query leaves behind.
ANSWER = "dunlin/res/query/s0/answer.arrow"


def bucket_of(outputs):
    return json.loads(pathlib.Path(outputs).read_text())["state_bucket"]["value"]


def fill(url, outputs):
    s3, bucket = clients(url)("s3"), bucket_of(outputs)
    # moto reads a bucket policy without its conditions, and would refuse every request for an object.
    s3.delete_bucket_policy(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=ANSWER, Body=b"rows")


def kept(url, outputs, log):
    s3, bucket = clients(url)("s3"), bucket_of(outputs)
    said = pathlib.Path(log).read_text()
    check("the refusal says why, and names the bucket", "BucketNotEmpty" in said and bucket in said)
    check("the object is still there", s3.get_object(Bucket=bucket, Key=ANSWER)["Body"].read() == b"rows")
    print("terraform: moto: a destroy with data present is refused, and the data is there")


def empty(url, outputs):
    clients(url)("s3").delete_object(Bucket=bucket_of(outputs), Key=ANSWER)


def gone(url):
    client = clients(url)
    # Terraform did not make it, so it is still there, and empty.
    client("s3").delete_bucket(Bucket=GIVEN)
    left = {
        "buckets": client("s3").list_buckets()["Buckets"],
        "functions": client("lambda").list_functions()["Functions"],
        "roles": client("iam").list_roles()["Roles"],
        "schedules": client("scheduler").list_schedules()["Schedules"],
        "log groups": client("logs").describe_log_groups()["logGroups"],
        "alarms": client("cloudwatch").describe_alarms()["MetricAlarms"],
        "dashboards": client("cloudwatch").list_dashboards()["DashboardEntries"],
        "topics": client("sns").list_topics()["Topics"],
        "stacks": [one for one in client("cloudformation").list_stacks()["StackSummaries"] if one["StackStatus"] != "DELETE_COMPLETE"],
    }
    for what, found in left.items():
        check(f"no {what} are left", not found)
    print("terraform: moto: nothing is left")


def main(arguments):
    command, arguments = arguments[:1], arguments[1:]
    if command == ["package"] and len(arguments) == 2:
        package(*arguments)
    elif command == ["made"] and len(arguments) >= 4:
        made(*arguments[:3], arguments[3:])
    elif command == ["bucket"] and len(arguments) == 1:
        bucket(*arguments)
    elif command == ["fill"] and len(arguments) == 2:
        fill(*arguments)
    elif command == ["kept"] and len(arguments) == 3:
        kept(*arguments)
    elif command == ["empty"] and len(arguments) == 2:
        empty(*arguments)
    elif command == ["gone"] and len(arguments) == 1:
        gone(*arguments)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
