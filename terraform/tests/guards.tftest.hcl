# What no single variable can check. Each run has several independent mistakes.
mock_provider "aws" { source = "./tests/mocks" }

variables {
  package_dir = "tests/package"
}

run "an_open_gateway" {
  command = plan

  expect_failures = [
    terraform_data.guard["api_keys"],
    aws_lambda_function_url.gateway,
  ]
}

run "an_open_load_balancer" {
  command = plan

  variables {
    gateway_kind    = "fargate"
    gateway_fargate = { image = "x:1", allow_http = true, allowed_cidrs = ["10.0.0.0/8"] }
    network         = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"] }
  }

  expect_failures = [
    terraform_data.guard["api_keys"],
    terraform_data.guard["load_balancer_subnets"],
    aws_lb_listener.gateway,
  ]
}

run "two_authorizations" {
  command = plan

  variables {
    url_auth           = "AWS_IAM"
    api_keys           = [{ name = "ci", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
    tables             = [{ name = "t", location = "s3://lake/other/t/" }]
    data_buckets       = [{ bucket = "lake", prefixes = ["tables/"] }]
    writing            = [{ location = "s3://lake/other/" }]
    monthly_budget_usd = 10
    fargate_workers    = { image = "x:1" }
    sweep              = { enabled = false }
  }

  expect_failures = [
    terraform_data.guard["one_authorization"],
    terraform_data.guard["tables_are_readable"],
    terraform_data.guard["writing_is_readable"],
    terraform_data.guard["budget_emails"],
    terraform_data.guard["fargate_is_measured"],
    check.sweeper,
  ]
}

run "an_issuer_without_a_secret" {
  command = plan

  variables {
    oidc     = { issuer = "https://id.example", audience = "dunlin", workgroup_claim = "groups" }
    api_keys = [{ name = "ci", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"], workgroup = "bi" }]
  }

  expect_failures = [
    terraform_data.guard["oidc_secret"],
    terraform_data.guard["workgroup_claim"],
    terraform_data.guard["workgroups_are_there"],
  ]
}

# The secret of a function is none of a container, and private tasks do not reach the issuer.
run "an_issuer_that_is_far" {
  command = plan

  variables {
    gateway_kind    = "fargate"
    gateway_fargate = { image = "x:1", allow_http = true, allowed_cidrs = ["10.0.0.0/8"] }
    oidc            = { issuer = "https://id.example", audience = "dunlin" }
    oidc_secret     = "a secret of tests with 32 bytes."
  }

  expect_failures = [
    terraform_data.guard["oidc_secret"],
    terraform_data.guard["oidc_is_reachable"],
  ]
}

run "tokens_and_signatures" {
  command = plan

  variables {
    url_auth    = "AWS_IAM"
    oidc        = { issuer = "https://id.example", audience = "dunlin" }
    oidc_secret = "a secret of tests with 32 bytes."
  }

  expect_failures = [
    terraform_data.guard["one_authorization"],
  ]
}

# Tokens are enough: no guard asks for keys as well.
run "tokens_alone" {
  command = plan

  variables {
    oidc        = { issuer = "https://id.example", audience = "dunlin" }
    oidc_secret = "a secret of tests with 32 bytes."
  }

  assert {
    condition     = !strcontains(local.configs.gateway, "[[gateway.keys]]") && strcontains(local.configs.gateway, "[gateway.oidc]") && length(aws_lambda_permission.url) == 1
    error_message = "A URL that everybody may call asks for tokens."
  }
  assert {
    condition     = !strcontains(jsonencode(output.config), "secret of tests")
    error_message = "No output shows the secret of codes."
  }
}

run "pools_that_are_nowhere" {
  command = plan

  variables {
    url_auth       = "AWS_IAM"
    pools          = [{ name = "a-pool-with-a-name-that-is-too-long-for-a-function-of-lambda-1", worker_classes = [{}] }]
    workgroups     = [{ name = "bi", pool = "night" }]
    worker_classes = []
  }

  expect_failures = [
    terraform_data.guard["pools_of_workgroups"],
    terraform_data.guard["function_names"],
    terraform_data.guard["something_works"],
  ]
}

run "a_workgroup_of_a_pool_where_there_is_none" {
  command = plan

  variables {
    url_auth   = "AWS_IAM"
    workgroups = [{ name = "bi", pool = "night" }]
  }

  expect_failures = [terraform_data.guard["pools_of_workgroups"]]
}

# The image is nowhere.
run "pools_in_two_places" {
  command = plan

  variables {
    url_auth     = "AWS_IAM"
    extra_config = "[routing]\npools = [{ name = \"night\" }]\n"
    pools        = [{ name = "big", fargate_workers = {} }]
    sweep        = { enabled = false }
  }

  expect_failures = [
    terraform_data.guard["pools_stand_once"],
    terraform_data.guard["pools_on_fargate"],
    terraform_data.guard["fargate_is_measured"],
    check.sweeper,
  ]
}

# What the pool says does not go with what it takes from fargate_workers.
run "a_pool_with_more_memory_than_its_cpu_has" {
  command = plan

  variables {
    url_auth        = "AWS_IAM"
    extra_config    = "[[routing.pools]]\nname = \"night\"\n"
    fargate_workers = { image = "x:1", cpu = 1024, memory = 4096 }
    pools           = [{ name = "big", fargate_workers = { memory = 16384 } }]
  }

  expect_failures = [
    terraform_data.guard["pools_stand_once"],
    terraform_data.guard["pools_on_fargate"],
  ]
}

run "a_pool_with_more_workers_than_its_most" {
  command = plan

  variables {
    url_auth        = "AWS_IAM"
    fargate_workers = { image = "x:1", max = 3 }
    pools           = [{ name = "big", fargate_workers = { min = 4 } }]
  }

  expect_failures = [terraform_data.guard["pools_on_fargate"]]
}

run "writing_into_the_state" {
  command = plan

  variables {
    state_bucket_name = "lake"
    state_prefix      = "q"
    url_auth          = "AWS_IAM"
    data_buckets      = [{ bucket = "lake", prefixes = ["q/"] }]
    writing           = [{ location = "s3://lake/q/out/" }]
  }

  expect_failures = [
    terraform_data.guard["writing_is_not_the_state"],
  ]
}

# It is allowed, and told at every plan: the sentence says what then nobody does.
run "the_schedule_is_off" {
  command = plan

  variables {
    url_auth = "AWS_IAM"
    sweep    = { enabled = false }
  }

  expect_failures = [check.sweeper]

  assert {
    condition     = length(aws_scheduler_schedule.sweep) == 0 && length(module.sweeper) == 0 && length(aws_cloudwatch_metric_alarm.sweeper_silent) == 0
    error_message = "Nothing of the sweeper is left: no schedule, no function, and no alarm that waits for its calls."
  }
  assert {
    condition     = output.idle_cost_usd_per_month == 0
    error_message = "Without the schedule nothing runs between queries."
  }
}

run "no_package" {
  command = plan

  variables {
    package_dir         = "tests/nothing"
    api_keys            = [{ name = "ci", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
    create_state_bucket = false
  }

  expect_failures = [
    terraform_data.guard["package_dir"],
    terraform_data.guard["build"],
    terraform_data.guard["worker_zip"],
    terraform_data.guard["gateway_zip"],
    terraform_data.guard["state_bucket_name"],
  ]
}

run "a_package_that_is_not_whole" {
  command = plan

  variables {
    package_dir    = "tests/broken-package"
    gateway_kind   = "fargate"
    worker_classes = []
    data_buckets   = [{ bucket = "lake", prefixes = [for n in range(300) : "a-long-prefix-of-tables-number-${n}/"] }]
    api_keys       = [{ name = "ci", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
  }

  expect_failures = [
    terraform_data.guard["package_is_whole"],
    terraform_data.guard["package_size"],
    terraform_data.guard["something_works"],
    terraform_data.guard["gateway_fargate"],
    terraform_data.guard["policy_size"],
  ]
}

run "a_bucket_in_another_region" {
  command = plan

  variables {
    create_state_bucket = false
    state_bucket_name   = "state"
    url_auth            = "AWS_IAM"
  }

  override_data {
    target = data.aws_s3_bucket.existing
    values = { region = "us-east-1" }
  }

  expect_failures = [data.aws_s3_bucket.existing]
}

# Right values that are near wrong ones, and options that change what there is.
run "other_options" {
  command = plan

  variables {
    name                   = "a234567890-a234567890-a234567890-a234567"
    create_state_bucket    = false
    state_bucket_name      = "state"
    url_auth               = "AWS_IAM"
    sweep                  = { schedule = "cron(0/5 8-18 ? * MON-FRI *)" }
    alarms                 = { emails = ["ops@example.com"] }
    monthly_budget_usd     = 0.5
    budget_emails          = ["ops@example.com"]
    budget_by_tag          = true
    bucket_request_metrics = true
    build                  = "b-012345678901234567890123456789"
  }

  assert {
    condition     = length(aws_lambda_permission.url) == 0 && length(aws_cloudformation_stack.url) == 0 && !strcontains(local.configs.gateway, "[[gateway.keys]]")
    error_message = "With IAM nobody is let through by the function's own policy."
  }
  assert {
    condition     = length(aws_s3_bucket.state) == 0 && length(aws_s3_bucket_policy.state) == 0 && length(aws_s3_bucket_lifecycle_configuration.state) == 0
    error_message = "A bucket that exists is left as it is."
  }
  assert {
    condition     = length(one(values(aws_scheduler_schedule.sweep)).name) <= 64 && length(aws_cloudwatch_metric_alarm.sweeper_silent) == 0 && output.idle_cost_usd_per_month == null
    error_message = "Names stay within AWS's limits, and a cron schedule has no known rate."
  }
  assert {
    condition     = join(" ", one(aws_budgets_budget.this[0].cost_filter).values) == "user:Installation$a234567890-a234567890-a234567890-a234567"
    error_message = "The budget counts what has the installation's tag."
  }
  assert {
    condition     = length(aws_sns_topic_subscription.alarms) == 1 && strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, "EntireBucket")
    error_message = "Alarms go out by mail, and the dashboard shows the bucket's requests."
  }
}
