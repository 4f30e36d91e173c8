# Pools: workers for some queries.
mock_provider "aws" { source = "./tests/mocks" }

variables {
  package_dir       = "tests/package"
  name              = "d"
  state_bucket_name = "state"
  api_keys          = [{ name = "ci", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
}

run "none" {
  command = plan

  variables {
    fargate_workers = { image = "example/dunlin:1" }
    network         = { assign_public_ip = true }
  }

  assert {
    condition     = output.pools == {} && keys(module.worker) == ["d-worker-1769"] && keys(module.worker_service) == ["(none)"]
    error_message = "Without pools there are the workers that are in none."
  }
  assert {
    condition     = !anytrue([for text in values(output.config) : strcontains(text, "pool")]) && !anytrue([for environment in values(local.environment) : contains(keys(environment), "DUNLIN__WORKER__POOL")])
    error_message = "Without pools nobody is told of one."
  }
  assert {
    condition     = local.fargate_services["(none)"].command == tolist(["worker"]) && local.fargate_services["(none)"].name == "d-worker" && aws_cloudwatch_metric_alarm.open_tasks["(none)"].alarm_name == "d-worker-open-tasks"
    error_message = "The service has the name that it always had."
  }
}

# Functions in one pool, containers in another, both in a third.
run "three_pools" {
  command = plan

  variables {
    worker_classes  = [{ copies = 2 }, { memory_mb = 3538 }]
    fargate_workers = { image = "example/dunlin:1", cpu = 1024, memory = 4096, max = 4 }
    network         = { assign_public_ip = true }
    audit           = true
    pools = [
      { name = "big", from_bytes = 100000000000, from_rows = 0, worker_classes = [{ memory_mb = 10240, copies = 2, ephemeral_storage_mb = 10240 }] },
      { name = "gateway", fargate_workers = { cpu = 4096, memory = 16384, min = 1, spot = false } },
      { name = "n_1", from_rows = 9007199254740991, worker_classes = [{}], fargate_workers = { image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/other:2" } },
    ]
    workgroups   = [{ name = "nightly", pool = "n_1" }]
    extra_config = "[routing]\nmode = \"fleet\"\n"
  }

  # --- the text ---
  assert {
    condition     = output.config.worker == <<-TOML
      [state]
      location = "s3://state/dunlin"
      [state.params]
      s3_region = "eu-central-1"
      [functions]
      region = "eu-central-1"
      [[functions.class]]
      memory_mb = 1769
      names = ["d-worker-1769","d-worker-1769-2"]
      [[functions.class]]
      memory_mb = 3538
      names = ["d-worker-3538"]
      [[functions.class]]
      pool = "big"
      memory_mb = 10240
      names = ["d-worker-big-10240","d-worker-big-10240-2"]
      [[functions.class]]
      pool = "n_1"
      memory_mb = 1769
      names = ["d-worker-n_1-1769"]
      [routing]
      mode = "fleet"
    TOML
    error_message = "Everybody is told which functions run the queries of which pool."
  }
  assert {
    condition = strcontains(output.config.gateway, <<-TOML
      [[gateway.workgroups]]
      name = "nightly"
      pool = "n_1"
      [[routing.pools]]
      name = "big"
      from_bytes = 100000000000
      from_rows = 0
      [[routing.pools]]
      name = "gateway"
      [[routing.pools]]
      name = "n_1"
      from_rows = 9007199254740991
      [routing]
      mode = "fleet"
    TOML
    )
    error_message = "A gateway is told the pools and their bounds, in their order."
  }
  assert {
    condition     = [for part, text in output.config : part if strcontains(text, "[[routing.pools]]")] == ["gateway"]
    error_message = "No worker is told which queries are for which pool."
  }
  assert {
    condition = { for part, text in output.config : part => join(" ", flatten(regexall("(?m)^(?:slots|memory_bytes) = ([0-9]+)$", text))) if startswith(part, "fargate_worker") } == {
      "fargate_worker"         = "1 3411766710"
      "fargate_worker/gateway" = "4 14455968324"
      "fargate_worker/n_1"     = "1 3411766710"
    }
    error_message = "Each container is told how large it is."
  }
  assert {
    condition     = [for part, environment in local.environment : part if contains(keys(environment), "DUNLIN__GATEWAY__AUDIT")] == ["fargate_gateway", "gateway"]
    error_message = "Only gateways write down what clients do, whatever a pool is called."
  }

  # --- functions ---
  assert {
    condition = { for name, function in local.worker_functions : name => [function.pool, function.memory_mb, function.ephemeral_storage_mb] } == {
      "d-worker-1769"        = ["(none)", 1769, 512]
      "d-worker-1769-2"      = ["(none)", 1769, 512]
      "d-worker-3538"        = ["(none)", 3538, 512]
      "d-worker-big-10240"   = ["big", 10240, 10240]
      "d-worker-big-10240-2" = ["big", 10240, 10240]
      "d-worker-n_1-1769"    = ["n_1", 1769, 512]
    }
    error_message = "A pool has functions of its own."
  }
  assert {
    condition     = toset(keys(module.worker)) == toset(keys(local.worker_functions)) && { for name, environment in local.function_environment : name => lookup(environment, "DUNLIN__WORKER__POOL", "") if contains(keys(environment), "DUNLIN__WORKER__POOL") } == { "d-worker-big-10240" = "big", "d-worker-big-10240-2" = "big", "d-worker-n_1-1769" = "n_1" }
    error_message = "A function knows its pool, and one that is in none is told of none."
  }
  assert {
    condition     = alltrue([for name in keys(local.worker_functions) : contains(output.worker_function_names, name) && contains(output.function_names, name) && contains(keys(aws_cloudwatch_metric_alarm.errors), name) && contains(keys(aws_cloudwatch_metric_alarm.throttles), name) && strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, name)])
    error_message = "Outputs, alarms and the dashboard have all functions."
  }
  assert {
    condition = alltrue([for role in ["worker", "fargate_worker", "gateway", "sweeper"] : [for s in jsondecode(local.policies[role]).Statement : s.Resource if s.Sid == "WakeWorkers"] == [flatten([
      for name in keys(local.worker_functions) : ["arn:aws:lambda:eu-central-1:123456789012:function:${name}", "arn:aws:lambda:eu-central-1:123456789012:function:${name}:*"]
    ])]])
    error_message = "Whoever wakes workers may call the functions of pools."
  }
  assert {
    condition     = [for s in jsondecode(local.policies.worker).Statement : s.Resource if s.Sid == "WriteLogs"] == [[for name in keys(local.worker_functions) : "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/${name}:*"]]
    error_message = "The functions of pools write their logs."
  }

  # --- containers ---
  assert {
    condition = { for pool, service in local.fargate_services : pool => [service.name, join(" ", service.command), service.image, service.cpu, service.memory, service.min, service.max, service.spot] } == {
      "(none)"  = ["d-worker", "worker", "example/dunlin:1", 1024, 4096, 0, 4, true]
      "gateway" = ["d-worker-gateway", "worker --pool=gateway", "example/dunlin:1", 4096, 16384, 1, 4, false]
      "n_1"     = ["d-worker-n_1", "worker --pool=n_1", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/other:2", 1024, 4096, 0, 4, true]
    }
    error_message = "Each pool has a service; what it leaves out is as in fargate_workers."
  }
  assert {
    condition     = toset(keys(module.worker_service)) == toset(keys(local.fargate_services)) && { for pool, alarm in aws_cloudwatch_metric_alarm.no_tasks : pool => alarm.alarm_name } == { "(none)" = "d-worker-no-tasks", "gateway" = "d-worker-gateway-no-tasks", "n_1" = "d-worker-n_1-no-tasks" }
    error_message = "Each service is there, and scales."
  }
  assert {
    condition     = { for pool, policy in aws_appautoscaling_policy.down : pool => one(policy.step_scaling_policy_configuration[0].step_adjustment).scaling_adjustment } == { "(none)" = 0, "gateway" = 1, "n_1" = 0 } && { for pool, steps in local.scaling : pool => steps.many.add } == { "(none)" = 4, "gateway" = 4, "n_1" = 4 }
    error_message = "Each service goes to the fewest workers of its own."
  }
  assert {
    condition     = local.container_log_groups == ["/dunlin/d-worker", "/dunlin/d-worker-gateway", "/dunlin/d-worker-n_1"] && join(" ", local.repository_arns) == "arn:aws:ecr:eu-central-1:123456789012:repository/other" && strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, "d-worker-n_1")
    error_message = "The role that starts containers may read the images and write the logs of all of them."
  }
  assert {
    condition     = strcontains(output.idle_cost_explained, "1 workers on Fargate, which run all the time.")
    error_message = "Workers of a pool that always run are named where the cost is explained."
  }
  assert {
    condition = output.pools == {
      big     = { function_names = ["d-worker-big-10240", "d-worker-big-10240-2"], service_name = null }
      gateway = { function_names = [], service_name = "d-worker-gateway" }
      n_1     = { function_names = ["d-worker-n_1-1769"], service_name = "d-worker-n_1" }
    }
    error_message = "The output names the workers of each pool."
  }
}

# Only a pool has containers, and the text has sizes of its own.
run "containers_in_a_pool_only" {
  command = plan

  variables {
    pools        = [{ name = "big", from_rows = 5, fargate_workers = { image = "example/dunlin:1" } }, { name = "rows", from_rows = 6, worker_classes = [{}] }]
    network      = { assign_public_ip = true }
    extra_config = "[worker]\nspill_bytes = 1\n"
  }

  assert {
    condition     = keys(module.worker_service) == ["big"] && length(aws_security_group.worker) == 1 && contains(keys(aws_iam_role.this), "fargate_worker") && length(aws_ecs_cluster.this) == 1
    error_message = "A pool is enough for a cluster."
  }
  assert {
    condition     = [local.fargate_services.big.cpu, local.fargate_services.big.memory, local.fargate_services.big.min, local.fargate_services.big.max, local.fargate_services.big.spot] == [2048, 8192, 0, 10, true] && output.config["fargate_worker/big"] == output.config.worker
    error_message = "A pool has the defaults of fargate_workers, and extra_config wins."
  }
}
