# What each role may do. The texts are rendered as they are deployed.
mock_provider "aws" { source = "./tests/mocks" }

variables {
  package_dir       = "tests/package"
  name              = "d"
  state_bucket_name = "state"
  state_prefix      = "q1"
  api_keys          = [{ name = "ci", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
  kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/state"
  data_buckets = [
    { bucket = "lake", prefixes = ["tables/", "more/"] },
    { bucket = "other", prefixes = ["x/y/"], kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/data" },
  ]
  worker_classes  = [{ memory_mb = 1769, copies = 2 }]
  fargate_workers = { image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/dunlin/worker:1" }
  container_secrets = {
    A_SECRET    = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:a-AbCdEf:json-key::"
    A_PARAMETER = "arn:aws:ssm:eu-central-1:123456789012:parameter/dunlin/a"
  }
}

run "least_privilege" {
  command = plan

  assert {
    condition     = alltrue([for role, policy in aws_iam_role_policy.this : policy.policy == local.policies[role]]) && toset(keys(aws_iam_role_policy.this)) == toset(["execution", "fargate_worker", "gateway", "scheduler", "sweeper", "worker"])
    error_message = "The roles have the policies that the other assertions read."
  }

  # --- for all roles ---
  assert {
    condition     = alltrue(flatten([for policy in values(local.policies) : [for statement in jsondecode(policy).Statement : [for action in flatten([statement.Action]) : statement.Effect == "Allow" && !strcontains(action, "*")]]]))
    error_message = "No role is allowed an action with *."
  }
  assert {
    condition     = join(" ", distinct(flatten([for role, policy in local.policies : [for statement in jsondecode(policy).Statement : [for resource in flatten([statement.Resource]) : "${role}/${statement.Sid}" if !startswith(resource, "arn:aws:")]]]))) == "execution/LogInToRegistry fargate_gateway/ReadLimits gateway/ReadLimits"
    error_message = "Only ecr:GetAuthorizationToken and lambda:GetAccountSettings, which know no resource, are allowed on *."
  }
  assert {
    condition     = alltrue(flatten([for policy in values(local.policies) : [for statement in jsondecode(policy).Statement : !contains(keys(statement), "NotAction") && !contains(keys(statement), "NotResource") && length(flatten([statement.Resource])) > 0]]))
    error_message = "Statements name what they allow."
  }
  assert {
    condition     = alltrue(flatten([for policy in values(local.policies) : [for statement in jsondecode(policy).Statement : contains(keys(statement), "Condition") if contains(flatten([statement.Action]), "s3:ListBucket")]]))
    error_message = "Every right to list a bucket has a condition."
  }

  # --- worker ---
  assert {
    condition = sort(distinct(flatten([for statement in jsondecode(local.policies.worker).Statement : statement.Action]))) == sort([
      "s3:GetObject", "s3:ListBucket", "s3:PutObject", "kms:Decrypt", "kms:GenerateDataKey", "lambda:InvokeFunction", "logs:CreateLogStream", "logs:PutLogEvents",
    ])
    error_message = "A worker reads, lists, puts, invokes and logs. It never deletes."
  }
  assert {
    condition = flatten([for statement in jsondecode(local.policies.worker).Statement : statement.Resource if contains(statement.Action, "s3:PutObject")]) == [
      for key in ["q/*/s*/seal", "q/*/s*/g/*", "q/*/s*/all", "g/*", "hb/*", "use/*", "data/*", "res/*", "end/*", "bell/*"] : "arn:aws:s3:::state/q1/${key}"
    ]
    error_message = "A worker puts these keys and no others: not root, plan, idem, live, gate or config."
  }
  # The same with keys: * of IAM is .* here.
  assert {
    condition = alltrue([for key in ["q/ab/Q/root", "q/ab/Q/plan/0f", "idem/0f", "live/Q", "gate/1", "config/0f.toml", "probe/1/a"] :
      !anytrue([for pattern in flatten([for statement in jsondecode(local.policies.worker).Statement : statement.Resource if contains(statement.Action, "s3:PutObject")]) :
    can(regex("^${replace(pattern, "*", ".*")}$", "arn:aws:s3:::state/q1/${key}"))])])
    error_message = "A worker cannot put what only a gateway decides."
  }
  assert {
    condition = alltrue([for key in ["q/ab/Q/s0/seal", "q/ab/Q/s12/g/3", "q/ab/Q/s0/all", "g/abcd/Q/s0/0/k/1.0", "hb/Q/s0/0/1.0", "use/Q/n.1.0.5.5.1.1.1", "data/abcd/Q/s0/1.0.n/0.arrow", "res/Q/s0/1.0.n/0.arrow", "end/Q", "bell/0"] :
      anytrue([for pattern in flatten([for statement in jsondecode(local.policies.worker).Statement : statement.Resource if contains(statement.Action, "s3:PutObject")]) :
    can(regex("^${replace(pattern, "*", ".*")}$", "arn:aws:s3:::state/q1/${key}"))])])
    error_message = "A worker can put all that it writes."
  }
  assert {
    condition = { for statement in jsondecode(local.policies.worker).Statement : statement.Sid => [statement.Resource, try(statement.Condition, null)] if contains(["ReadState", "ListState", "TellThatAnObjectIsMissing", "ReadData", "ListData", "UseStateKey", "UseDataKeys"], statement.Sid) } == {
      ReadState                 = [["arn:aws:s3:::state/q1/*"], null]
      ListState                 = [["arn:aws:s3:::state"], { StringLike = { "s3:prefix" = ["q1/*"] } }]
      TellThatAnObjectIsMissing = [["arn:aws:s3:::state"], { Null = { "s3:prefix" = "true" } }]
      ReadData                  = [["arn:aws:s3:::lake/tables/*", "arn:aws:s3:::lake/more/*", "arn:aws:s3:::other/x/y/*"], null]
      ListData                  = [["arn:aws:s3:::lake", "arn:aws:s3:::other"], { StringLike = { "s3:prefix" = ["tables/*", "more/*", "x/y/*"] } }]
      UseStateKey               = [["arn:aws:kms:eu-central-1:123456789012:key/state"], null]
      UseDataKeys               = [["arn:aws:kms:eu-central-1:123456789012:key/data"], null]
    }
    error_message = "A worker reads and lists the state below its prefix, and the data below theirs."
  }
  assert {
    condition = { for statement in jsondecode(local.policies.worker).Statement : statement.Sid => statement.Resource if contains(["WakeWorkers", "WriteLogs"], statement.Sid) } == {
      WakeWorkers = flatten([for name in ["d-worker-1769", "d-worker-1769-2"] : ["arn:aws:lambda:eu-central-1:123456789012:function:${name}", "arn:aws:lambda:eu-central-1:123456789012:function:${name}:*"]])
      WriteLogs   = [for name in ["d-worker-1769", "d-worker-1769-2"] : "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/${name}:*"]
    }
    error_message = "A worker wakes worker functions only and writes its own logs."
  }
  assert {
    condition     = [for statement in jsondecode(local.policies.fargate_worker).Statement : statement.Sid] == [for statement in jsondecode(local.policies.worker).Statement : statement.Sid if statement.Sid != "WriteLogs"]
    error_message = "A worker on Fargate has the same rights; the execution role writes its logs."
  }

  # --- sweeper ---
  assert {
    condition = alltrue([
      setsubtract(flatten([for s in jsondecode(local.policies.sweeper).Statement : s.Resource if contains(s.Action, "s3:PutObject")]), flatten([for s in jsondecode(local.policies.worker).Statement : s.Resource if contains(s.Action, "s3:PutObject")])) == toset(["arn:aws:s3:::state/q1/live/*", "arn:aws:s3:::state/q1/probe/swept"]),
      flatten([for s in jsondecode(local.policies.sweeper).Statement : s.Resource if contains(s.Action, "s3:DeleteObject")]) == ["arn:aws:s3:::state/q1/live/*"],
      setsubtract(flatten([for s in jsondecode(local.policies.sweeper).Statement : s.Action]), flatten([for s in jsondecode(local.policies.worker).Statement : s.Action])) == toset(["s3:DeleteObject"]),
      flatten([for s in jsondecode(local.policies.sweeper).Statement : s.Resource if s.Sid == "WriteLogs"]) == ["arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/d-sweeper:*"],
    ])
    error_message = "A sweeper may do what a worker may, and write and delete the hints of live queries, and leave its mark."
  }

  # --- gateway ---
  assert {
    condition     = flatten([for s in jsondecode(local.policies.gateway).Statement : s.Resource if contains(s.Action, "s3:PutObject")]) == [for key in ["data", "res", "hb", "use", "g", "q", "end", "idem", "live", "bell", "gate", "probe"] : "arn:aws:s3:::state/q1/${key}/*"]
    error_message = "A gateway writes every prefix of the state but config/."
  }
  assert {
    condition     = flatten([for s in jsondecode(local.policies.gateway).Statement : s.Resource if contains(s.Action, "s3:DeleteObject")]) == [for key in ["live", "gate", "probe"] : "arn:aws:s3:::state/q1/${key}/*"]
    error_message = "A gateway deletes hints and what its probe wrote."
  }
  assert {
    condition     = flatten([for s in jsondecode(local.policies.gateway).Statement : s.Action if contains(["WakeWorkers", "ReadLimits"], s.Sid)]) == ["lambda:InvokeFunction", "lambda:GetAccountSettings"]
    error_message = "A gateway wakes workers and reads how many the account may run."
  }

  # --- the others ---
  assert {
    condition     = jsondecode(local.policies.scheduler).Statement == [{ Sid = "CallSweeper", Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = ["arn:aws:lambda:eu-central-1:123456789012:function:d-sweeper:*"] }]
    error_message = "The schedule calls the sweeper's aliases."
  }
  assert {
    condition = { for s in jsondecode(local.policies.execution).Statement : s.Sid => s.Resource } == {
      LogInToRegistry = ["*"]
      PullImages      = ["arn:aws:ecr:eu-central-1:123456789012:repository/dunlin/worker"]
      ReadSecrets     = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:a-AbCdEf"]
      ReadParameters  = ["arn:aws:ssm:eu-central-1:123456789012:parameter/dunlin/a"]
      WriteLogs       = ["arn:aws:logs:eu-central-1:123456789012:log-group:/dunlin/d-worker:*"]
    }
    error_message = "The execution role pulls these images, reads these secrets and writes these logs."
  }
  assert {
    condition = { for role, resource in aws_iam_role.this : role => [jsondecode(resource.assume_role_policy).Statement[0].Principal.Service, try(jsondecode(resource.assume_role_policy).Statement[0].Condition, null)] } == {
      worker         = ["lambda.amazonaws.com", null]
      sweeper        = ["lambda.amazonaws.com", null]
      gateway        = ["lambda.amazonaws.com", null]
      scheduler      = ["scheduler.amazonaws.com", { StringEquals = { "aws:SourceAccount" = "123456789012" } }]
      fargate_worker = ["ecs-tasks.amazonaws.com", { StringEquals = { "aws:SourceAccount" = "123456789012" } }]
      execution      = ["ecs-tasks.amazonaws.com", { StringEquals = { "aws:SourceAccount" = "123456789012" } }]
    }
    error_message = "One service may take each role."
  }

  # --- the bucket ---
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.state[0].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && one(aws_s3_bucket_server_side_encryption_configuration.state[0].rule).bucket_key_enabled
    error_message = "With a key of KMS the bucket uses it, through a bucket key."
  }
  assert {
    condition     = aws_s3_bucket_policy.state[0].policy == local.state_bucket_policy && output.state_bucket_policy == local.state_bucket_policy
    error_message = "The bucket has the policy that the output shows."
  }
  assert {
    condition = { for s in jsondecode(local.state_bucket_policy).Statement : s.Sid => [s.Effect, s.Principal, s.Action, s.Resource, s.Condition] } == {
      DenyPlainHttp = ["Deny", "*", "s3:*", ["arn:aws:s3:::state", "arn:aws:s3:::state/*"], { Bool = { "aws:SecureTransport" = "false" } }]
      DenyOldTls    = ["Deny", "*", "s3:*", ["arn:aws:s3:::state", "arn:aws:s3:::state/*"], { NumericLessThan = { "s3:TlsVersion" = "1.2" } }]
      DecisionsAreWrittenOnce = ["Deny", "*", "s3:PutObject",
        [for key in ["idem/*", "end/*", "g/*", "q/*/root", "q/*/s*/seal", "q/*/s*/g/*", "q/*/s*/all"] : "arn:aws:s3:::state/q1/${key}"],
      { Null = { "s3:if-none-match" = "true" } }]
    }
    error_message = "The bucket takes TLS only, and a decision only with If-None-Match."
  }
  assert {
    condition = !anytrue([for key in ["hb/Q/s0/0/1.0", "bell/0", "live/Q", "gate/1", "data/abcd/Q/s0/1.0.n/0.arrow", "res/Q/s0/1.0.n/0.arrow", "probe/1/a", "q/ab/Q/plan/0f", "config/0f.toml"] :
      anytrue([for pattern in [for s in jsondecode(local.state_bucket_policy).Statement : s.Resource if s.Sid == "DecisionsAreWrittenOnce"][0] :
    can(regex("^${replace(pattern, "*", ".*")}$", "arn:aws:s3:::state/q1/${key}"))])])
    error_message = "What is overwritten or plainly put needs no If-None-Match."
  }
  assert {
    condition = alltrue([for statement in jsondecode(local.s3_endpoint_policy).Statement : alltrue([for resource in statement.Resource :
      contains(["arn:aws:s3:::state", "arn:aws:s3:::state/q1/*", "arn:aws:s3:::lake", "arn:aws:s3:::other", "arn:aws:s3:::lake/tables/*", "arn:aws:s3:::lake/more/*", "arn:aws:s3:::other/x/y/*", "arn:aws:s3:::prod-eu-central-1-starport-layer-bucket/*"], resource)
    ])])
    error_message = "Only state, data and layers of images pass the S3 endpoint."
  }
}

run "writing" {
  command = plan

  variables {
    writing = [{ location = "s3://other/x/y/made/", tables = true }, { location = "s3://lake/tables/out/" }]
  }

  assert {
    condition = { for role in ["worker", "fargate_worker", "gateway"] : role => {
      for s in jsondecode(local.policies[role]).Statement : s.Sid => [s.Action, s.Resource] if contains(["WriteData", "TellThatAFileIsMissing", "WriteWithDataKeys"], s.Sid)
      } } == { for role in ["worker", "fargate_worker", "gateway"] : role => {
      WriteData = [
        role == "gateway" ? ["s3:PutObject", "s3:DeleteObject"] : ["s3:PutObject", "s3:AbortMultipartUpload"],
        ["arn:aws:s3:::other/x/y/made/*", "arn:aws:s3:::lake/tables/out/*"],
      ]
      TellThatAFileIsMissing = [["s3:ListBucket"], ["arn:aws:s3:::other", "arn:aws:s3:::lake"]]
      WriteWithDataKeys      = [["kms:GenerateDataKey"], ["arn:aws:kms:eu-central-1:123456789012:key/data"]]
    } }
    error_message = "Workers write files in the places of writing, and the gateway cancels writes and clears up."
  }
  assert {
    condition = { for s in jsondecode(local.policies.sweeper).Statement : s.Sid => [s.Action, s.Resource] if contains(["WriteData", "CancelWrites", "DeleteFilesThatDoNotCount", "TellThatAFileIsMissing"], s.Sid) } == {
      CancelWrites              = [["s3:PutObject"], ["arn:aws:s3:::other/x/y/made/*_dunlin/*.json", "arn:aws:s3:::lake/tables/out/*_dunlin/*.json"]]
      DeleteFilesThatDoNotCount = [["s3:DeleteObject"], ["arn:aws:s3:::other/x/y/made/*dunlin-*", "arn:aws:s3:::lake/tables/out/*dunlin-*"]]
      TellThatAFileIsMissing    = [["s3:ListBucket"], ["arn:aws:s3:::other", "arn:aws:s3:::lake"]]
    }
    error_message = "The sweeper writes no data: it cancels writes that have failed, and deletes what they have left."
  }
}
