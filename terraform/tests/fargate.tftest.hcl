# Containers, their network and their scaling.
mock_provider "aws" { source = "./tests/mocks" }

variables {
  package_dir = "tests/package"
  api_keys    = [{ name = "ci", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
}

run "private" {
  command = plan

  variables {
    gateway_kind = "fargate"
    gateway_fargate = {
      image           = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/dunlin:1"
      certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/a"
      allowed_cidrs   = ["10.0.0.0/8"]
    }
    fargate_workers = { image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/dunlin:1" }
  }

  assert {
    condition     = length(module.gateway) == 0 && length(aws_lambda_function_url.gateway) == 0 && length(aws_lambda_permission.url) == 0 && length(aws_cloudformation_stack.url) == 0
    error_message = "There is one gateway, and no URL beside it."
  }
  assert {
    condition     = aws_lb.gateway[0].internal && aws_lb.gateway[0].drop_invalid_header_fields && aws_lb_listener.gateway[0].protocol == "HTTPS" && aws_lb_listener.gateway[0].port == 443 && aws_lb_listener.gateway[0].ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    error_message = "The load balancer speaks TLS only."
  }
  assert {
    condition     = aws_lb_target_group.gateway[0].port == 8090 && aws_lb_target_group.gateway[0].health_check[0].path == "/health"
    error_message = "The load balancer asks /health on 8090."
  }
  assert {
    condition     = toset(keys(aws_vpc_security_group_ingress_rule.load_balancer)) == toset(["10.0.0.0/8"]) && aws_vpc_security_group_ingress_rule.gateway[0].from_port == 8090 && aws_vpc_security_group_ingress_rule.gateway[0].cidr_ipv4 == null
    error_message = "Clients reach the load balancer only, and it alone reaches the gateway."
  }
  assert {
    condition     = join(" ", local.interface_endpoints) == "ecr.api ecr.dkr logs lambda" && strcontains(output.idle_cost_explained, "4 interface endpoints in 2 zones, some 58.00")
    error_message = "Private tasks need endpoints, and the output says what they cost."
  }
  assert {
    condition     = { for name, step in local.scaling["(none)"] : name => step.add } == { few = 3, some = 5, many = 10 } && aws_appautoscaling_policy.down["(none)"].step_scaling_policy_configuration[0].adjustment_type == "ExactCapacity" && one(aws_appautoscaling_policy.down["(none)"].step_scaling_policy_configuration[0].step_adjustment).scaling_adjustment == 0
    error_message = "Workers start in steps and stop all at once."
  }
  assert {
    condition     = alltrue([for alarm in [aws_cloudwatch_metric_alarm.open_tasks["(none)"], aws_cloudwatch_metric_alarm.no_tasks["(none)"]] : alarm.namespace == "Dunlin" && alarm.metric_name == "OpenTasks" && alarm.dimensions == tomap({ Installation = "dunlin" }) && alarm.period == 60]) && aws_cloudwatch_metric_alarm.open_tasks["(none)"].evaluation_periods == 1 && aws_cloudwatch_metric_alarm.no_tasks["(none)"].evaluation_periods == 10 && aws_cloudwatch_metric_alarm.no_tasks["(none)"].treat_missing_data == "breaching"
    error_message = "Workers start when a task is open and stop when none has been for 10 minutes."
  }
}

# Tokens are checked by what the internet says, and codes are made from a secret that only the gateway is given.
run "tokens" {
  command = plan

  variables {
    api_keys     = []
    gateway_kind = "fargate"
    gateway_fargate = {
      image           = "example/dunlin:1"
      certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/a"
      allowed_cidrs   = ["10.0.0.0/8"]
    }
    fargate_workers   = { image = "example/dunlin:1" }
    network           = { assign_public_ip = true }
    container_secrets = { OTHER = "arn:aws:ssm:eu-central-1:123456789012:parameter/other" }
    oidc = {
      issuer     = "https://id.example"
      audience   = "dunlin"
      secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:dunlin-oidc-AbCdEf"
    }
  }

  assert {
    condition = local.gateway_secrets.DUNLIN_OIDC_SECRET == var.oidc.secret_arn && !contains(keys(var.container_secrets), "DUNLIN_OIDC_SECRET") && [
      for s in jsondecode(local.policies.execution).Statement : s.Resource if contains(s.Action, "secretsmanager:GetSecretValue")
    ] == [["arn:aws:secretsmanager:eu-central-1:123456789012:secret:dunlin-oidc-AbCdEf"]]
    error_message = "The secret of codes is a reference, and the role that starts containers may read it."
  }
  assert {
    condition     = output.config.fargate_gateway == replace(output.config.fargate_worker, "/(?s)\\[worker\\]\nslots.*/", "[gateway.oidc]\nissuer = \"https://id.example\"\naudience = \"dunlin\"\nscopes = [\"query\"]\nname_claim = \"sub\"\nsecret = \"$${secrets:DUNLIN_OIDC_SECRET}\"\n[worker]\nmemory_bytes = ${local.gateway_bytes}\n")
    error_message = "The gateway is told of the issuer, and workers are not."
  }
}

run "a_service" {
  command = plan

  module {
    source = "./modules/fargate_service"
  }

  variables {
    name               = "w"
    cluster_name       = "c"
    cluster_arn        = "arn:aws:ecs:eu-central-1:123456789012:cluster/c"
    image              = "example/dunlin:1"
    architecture       = "arm64"
    command            = ["worker"]
    cpu                = 2048
    memory             = 8192
    min                = 0
    max                = 10
    spot               = true
    stop_timeout_s     = 60
    container_env      = { DUNLIN_LOG = "info" }
    secrets            = { A = "arn:aws:ssm:eu-central-1:123456789012:parameter/a" }
    task_role_arn      = "arn:aws:iam::123456789012:role/t"
    execution_role_arn = "arn:aws:iam::123456789012:role/e"
    subnet_ids         = ["subnet-1"]
    security_group_ids = ["sg-1"]
    assign_public_ip   = false
    log_retention_days = 14
    tags               = {}
  }

  assert {
    condition     = one(aws_ecs_service.this.capacity_provider_strategy).capacity_provider == "FARGATE_SPOT" && aws_ecs_service.this.desired_count == 0 && aws_appautoscaling_target.this.min_capacity == 0 && aws_appautoscaling_target.this.max_capacity == 10 && length(aws_ecs_service.this.load_balancer) == 0
    error_message = "Workers run on Spot, from none."
  }
  assert {
    condition = [for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : [container.command, container.stopTimeout, container.environment, container.secrets, can(container.portMappings)]] == [
      [["worker"], 60, [{ name = "DUNLIN_LOG", value = "info" }], [{ name = "A", valueFrom = "arn:aws:ssm:eu-central-1:123456789012:parameter/a" }], false]
    ]
    error_message = "A worker has a minute to give its tasks back, opens no port, and its secrets are references."
  }
  assert {
    condition     = aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "ARM64"
    error_message = "The task has the architecture of its image."
  }
}

run "network_private" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    name                 = "n"
    cidr                 = "10.42.0.0/16"
    public_tasks         = false
    public_load_balancer = false
    s3_endpoint_policy   = "{}"
    interface_endpoints  = ["ecr.api", "logs"]
    tags                 = {}
  }

  # The module has no resource for a NAT gateway; scripts/terraform looks for one in the whole folder.
  assert {
    condition     = length(aws_internet_gateway.this) == 0 && length(aws_route.internet) == 0 && length(aws_subnet.public) == 0 && aws_subnet.private[*].cidr_block == ["10.42.128.0/20", "10.42.144.0/20"]
    error_message = "Private tasks have no way to the internet."
  }
  assert {
    condition     = aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-central-1.s3" && aws_vpc_endpoint.s3.policy == "{}" && toset(keys(aws_vpc_endpoint.interface)) == toset(["ecr.api", "logs"])
    error_message = "S3 has a gateway endpoint with a policy; other services have interface endpoints."
  }
}

run "network_public" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    name                 = "n"
    cidr                 = "10.42.0.0/16"
    public_tasks         = true
    public_load_balancer = true
    s3_endpoint_policy   = "{}"
    interface_endpoints  = []
    tags                 = {}
  }

  assert {
    condition     = length(aws_internet_gateway.this) == 1 && length(aws_subnet.private) == 0 && length(aws_subnet.public) == 2 && length(aws_vpc_endpoint.interface) == 0 && length(aws_security_group.endpoints) == 0
    error_message = "Public tasks need no interface endpoint."
  }
}
