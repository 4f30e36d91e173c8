# What an installation is when only keys and a package are given.
mock_provider "aws" { source = "./tests/mocks" }

variables {
  package_dir = "tests/package"
  api_keys    = [{ name = "ci", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
}

run "defaults" {
  command = plan

  # --- state ---
  assert {
    condition     = can(regex("^dunlin-state-[0-9a-f]{12}$", aws_s3_bucket.state[0].bucket)) && !aws_s3_bucket.state[0].force_destroy
    error_message = "The state bucket has the installation's name, and destroy does not delete its objects."
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.state[0].block_public_acls, aws_s3_bucket_public_access_block.state[0].block_public_policy,
      aws_s3_bucket_public_access_block.state[0].ignore_public_acls, aws_s3_bucket_public_access_block.state[0].restrict_public_buckets,
      aws_s3_bucket_ownership_controls.state[0].rule[0].object_ownership == "BucketOwnerEnforced",
      aws_s3_bucket_versioning.state[0].versioning_configuration[0].status == "Disabled",
    ])
    error_message = "The state bucket is private, owned by its account, and keeps no versions."
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.state[0].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "S3 encrypts with its own keys."
  }
  assert {
    condition = { for rule in aws_s3_bucket_lifecycle_configuration.state[0].rule : rule.filter[0].prefix => rule.expiration[0].days if length(rule.expiration) > 0 } == {
      "dunlin/data/" = 1, "dunlin/res/" = 2, "dunlin/g/" = 7, "dunlin/q/" = 7, "dunlin/hb/" = 7, "dunlin/use/" = 7, "dunlin/idem/" = 7,
      "dunlin/end/"  = 7, "dunlin/live/" = 7, "dunlin/probe/" = 7,
    }
    error_message = "Each top-level prefix of the protocol has its retention; bell, gate and config stay."
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.state[0].rule : rule.abort_incomplete_multipart_upload[0].days_after_initiation if length(rule.abort_incomplete_multipart_upload) > 0] == [1]
    error_message = "Multipart uploads that nobody ends are aborted after a day."
  }

  # --- functions ---
  assert {
    condition     = output.function_names == ["dunlin-worker-1769", "dunlin-sweeper", "dunlin-gateway"]
    error_message = "One worker class, a sweeper, a gateway."
  }
  assert {
    condition     = output.build == "b-0123456789ab" && local.worker_zip == "tests/package/worker.zip" && local.gateway_zip == "tests/package/gateway.zip"
    error_message = "Build and zips come from build.json."
  }
  assert {
    condition     = aws_scheduler_schedule.sweep["b-0123456789ab"].schedule_expression == "rate(1 minute)" && jsondecode(aws_scheduler_schedule.sweep["b-0123456789ab"].target[0].input) == { sweep = true }
    error_message = "A schedule calls the sweeper once a minute with {\"sweep\": true}."
  }

  # --- the URL, and who may call it ---
  assert {
    condition     = aws_lambda_function_url.gateway[0].invoke_mode == "RESPONSE_STREAM" && aws_lambda_function_url.gateway[0].authorization_type == "NONE" && aws_lambda_function_url.gateway[0].qualifier == "live"
    error_message = "The gateway's URL streams and belongs to the alias live."
  }
  assert {
    condition     = aws_lambda_permission.url[0].action == "lambda:InvokeFunctionUrl" && aws_lambda_permission.url[0].principal == "*" && aws_lambda_permission.url[0].function_url_auth_type == "NONE" && aws_lambda_permission.url[0].qualifier == "live"
    error_message = "Everybody may call the URL, and only through it."
  }
  assert {
    condition = jsondecode(aws_cloudformation_stack.url[0].template_body).Resources.InvokeViaUrl.Properties == {
      Action                = "lambda:InvokeFunction"
      FunctionName          = "arn:aws:lambda:eu-central-1:123456789012:function:dunlin-gateway:live"
      InvokedViaFunctionUrl = true
      Principal             = "*"
    }
    error_message = "The second permission holds for calls through the URL only."
  }
  assert {
    condition     = strcontains(local.configs.gateway, "[[gateway.keys]]\nname = \"ci\"\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\nscopes = [\"query\"]\n")
    error_message = "The gateway behind the URL is told its keys."
  }

  # --- nothing that costs by the hour ---
  assert {
    condition     = length(module.network) == 0 && length(aws_lb.gateway) == 0 && length(aws_ecs_cluster.this) == 0 && length(aws_vpc_endpoint.s3) == 0 && output.vpc_id == null
    error_message = "Functions need no network, no load balancer and no cluster."
  }
  assert {
    condition     = output.idle_cost_usd_per_month == 0.3 && strcontains(output.idle_cost_explained, "43800 calls a month")
    error_message = "The cost when idle is that of the sweeper."
  }

  # --- observability ---
  assert {
    condition = join(" ", sort(concat([for alarm in aws_cloudwatch_metric_alarm.errors : alarm.alarm_name], [for alarm in aws_cloudwatch_metric_alarm.throttles : alarm.alarm_name],
    aws_cloudwatch_metric_alarm.sweeper_errors[*].alarm_name, aws_cloudwatch_metric_alarm.sweeper_silent[*].alarm_name))) == "dunlin-gateway-errors dunlin-gateway-throttles dunlin-sweeper-errors dunlin-sweeper-silent dunlin-worker-1769-errors dunlin-worker-1769-throttles"
    error_message = "Errors, throttles and a failing sweeper have alarms."
  }
  assert {
    condition     = [for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : widget.properties.title] == ["ConcurrentExecutions (Maximum)", "Duration (p95)", "Errors (Sum)", "Invocations (Sum)", "Throttles (Sum)", "Open tasks, active queries (Maximum)"]
    error_message = "The dashboard shows functions and open tasks."
  }
  assert {
    condition     = length(aws_budgets_budget.this) == 0 && length(aws_sns_topic.alarms) == 0
    error_message = "No budget and no topic unless they are asked for."
  }
  assert {
    condition     = alltrue([for role in values(aws_iam_role.this) : role.tags == tomap({ Installation = "dunlin", ManagedBy = "terraform" })])
    error_message = "Everything has the installation's tags."
  }
  assert {
    condition     = toset(keys(aws_iam_role.this)) == toset(["gateway", "scheduler", "sweeper", "worker"])
    error_message = "Each part has a role of its own."
  }
}

# What is inside a function's module.
run "a_function" {
  command = plan

  module {
    source = "./modules/lambda_function"
  }

  variables {
    name                 = "dunlin-worker-1769"
    description          = "a worker"
    role_arn             = "arn:aws:iam::123456789012:role/dunlin-worker"
    zip                  = "tests/package/worker.zip"
    architecture         = "arm64"
    memory_mb            = 1769
    timeout_s            = 900
    ephemeral_storage_mb = 512
    environment          = { DUNLIN_CONFIG_TOML = "[state]" }
    build                = "b-new"
    previous_versions    = { b-old = "3" }
    is_called_async      = true
    log_retention_days   = 14
    tags                 = {}
  }

  assert {
    condition = alltrue([
      aws_lambda_function.this.runtime == "provided.al2023", aws_lambda_function.this.handler == "bootstrap", aws_lambda_function.this.publish,
      aws_lambda_function.this.architectures == tolist(["arm64"]), aws_lambda_function.this.memory_size == 1769, aws_lambda_function.this.timeout == 900,
      aws_lambda_function.this.ephemeral_storage[0].size == 512, aws_lambda_function.this.reserved_concurrent_executions == -1,
      length(aws_lambda_function.this.vpc_config) == 0, aws_cloudwatch_log_group.this.retention_in_days == 14,
      aws_cloudwatch_log_group.this.name == "/aws/lambda/dunlin-worker-1769",
    ])
    error_message = "A function publishes its versions, is in no VPC, and its logs end."
  }
  assert {
    condition     = keys(aws_lambda_alias.this) == ["b-new", "b-old"] && aws_lambda_alias.this["b-old"].function_version == "3" && aws_lambda_alias.this["b-old"].name == "b-old"
    error_message = "Each build has an alias; an older one keeps its version."
  }
  assert {
    condition     = alltrue([for build, config in aws_lambda_function_event_invoke_config.this : config.qualifier == build && config.maximum_retry_attempts == 0 && config.maximum_event_age_in_seconds == 60])
    error_message = "A call without an answer is not repeated, whichever build it is for."
  }
}
