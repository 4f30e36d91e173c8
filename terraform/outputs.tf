# --- use ------------------------------------------------------------------------------------------------
locals {
  function_url = try(trimsuffix(aws_lambda_function_url.gateway[0].function_url, "/"), null)
  endpoint = (
    local.has_function_gateway ? local.function_url :
    local.has_fargate_gateway ? "${local.is_https ? "https" : "http"}://${aws_lb.gateway[0].dns_name}" : null
  )
}

output "endpoint" {
  description = "URL of the gateway. With a certificate, clients use a name that the certificate has; point it at this one."
  value       = local.endpoint
}

output "curl" {
  description = "A query to paste. `$DUNLIN_API_KEY` is the key or token, which nothing here knows."
  value = local.endpoint == null ? null : (
    local.has_function_gateway && var.url_auth == "AWS_IAM"
    ? "curl -s '${local.endpoint}/v1/sql' --aws-sigv4 'aws:amz:${local.region}:lambda' --user \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\" -H \"x-amz-security-token: $AWS_SESSION_TOKEN\" -d 'select 1'"
    : "curl -s '${local.endpoint}/v1/sql' -H \"Authorization: Bearer $DUNLIN_API_KEY\" -d 'select 1'"
  )
}

output "url_permission_command" {
  description = "To run once if `url_permission_stack` is `false`: the permission that Terraform's provider cannot express."
  value       = local.has_function_gateway && var.url_auth == "NONE" && !var.url_permission_stack ? "aws lambda add-permission --region ${local.region} --function-name ${local.gateway_name} --qualifier ${local.live} --statement-id invoke-via-url --action lambda:InvokeFunction --principal '*' --invoked-via-function-url" : null
}

output "dashboard_url" {
  description = "The CloudWatch dashboard."
  value       = var.dashboard ? "https://${local.region}.console.aws.amazon.com/cloudwatch/home?region=${local.region}#dashboards/dashboard/${var.name}" : null
}

# --- builds ---------------------------------------------------------------------------------------------
output "build" {
  description = "The build that is deployed."
  value       = local.build
}

output "build_versions" {
  description = "What to give as `previous_builds` at the next upgrade: this build, and the older ones that are kept."
  value = merge(local.previous_builds, {
    (local.build) = {
      versions = merge(
        { for name, function in module.worker : name => function.version },
        { for function in module.sweeper : function.name => function.version },
      )
      configs = [for sha in keys(local.large_configs) : sha]
    }
  })
}

# --- parts ----------------------------------------------------------------------------------------------
output "state_bucket" {
  description = "Name of the state bucket."
  value       = local.state_bucket_id
}

output "state_location" {
  description = "Location of the state, as `dunlin.toml` names it."
  value       = "s3://${local.state_bucket}/${var.state_prefix}"
}

output "state_bucket_policy" {
  description = "Policy of the state bucket, for a bucket that the module does not create."
  value       = local.state_bucket_policy
}

output "worker_function_names" {
  description = "Names of the worker functions."
  value       = keys(local.worker_functions)
}

output "pools" {
  description = "Workers of each pool: the names of its functions, and of its service on Fargate (`null`: it has none)."
  value = { for pool in var.pools : pool.name => {
    function_names = [for name, function in local.worker_functions : name if function.pool == pool.name]
    service_name   = try(local.fargate_services[pool.name].name, null)
  } }
}

output "function_names" {
  description = "Names of all functions."
  value       = local.function_names
}

output "role_arns" {
  description = "Roles by part."
  value       = { for part, role in aws_iam_role.this : part => role.arn }
}

output "log_groups" {
  description = "Log groups of functions and containers."
  value = concat(
    [for function in module.worker : function.log_group],
    module.sweeper[*].log_group,
    module.gateway[*].log_group,
    [for service in module.worker_service : service.log_group],
    module.gateway_service[*].log_group,
  )
}

output "vpc_id" {
  description = "VPC of Fargate."
  value       = local.vpc_id
}

output "alarm_topic_arn" {
  description = "Topic of the alarms."
  value       = local.alarm_topic_arn
}

output "config" {
  description = "The text of `dunlin.toml` of each part. It holds hashes of API keys and no secret."
  value       = { for part in local.config_parts : part => local.configs[part] }
}

# --- cost when idle ---------------------------------------------------------------------------------------
locals {
  # List prices of us-east-1 in USD, for x86_64; arm64 computes for a fifth less. Other regions differ by some percent.
  price = {
    lambda_request   = 0.20 / 1000000
    lambda_gb_second = 0.0000166667
    s3_list          = 0.005 / 1000
    s3_get           = 0.0004 / 1000
  }
  # A sweep that finds nothing: one LIST, two GETs, a fifth of a second. An estimate, not measured on AWS.
  idle_sweep = { lists = 1, gets = 2, seconds = 0.2 }

  least_fargate_workers = sum(concat([0], values(local.fargate_services)[*].min))

  sweep_rate = try(regex("^rate\\(([0-9]+) (minute|hour|day)s?\\)$", var.sweep.schedule), null)
  sweeps_per_month = !var.sweep.enabled ? 0 : try(
    length(local.swept_builds) * 730 * 60 / (tonumber(local.sweep_rate[0]) * { minute = 1, hour = 60, day = 1440 }[local.sweep_rate[1]]),
    null,
  )
  idle_cost = try(floor(100 * local.sweeps_per_month * (
    local.price.lambda_request +
    local.price.lambda_gb_second * local.idle_sweep.seconds * var.sweep.memory_mb / 1024 +
    local.price.s3_list * local.idle_sweep.lists +
    local.price.s3_get * local.idle_sweep.gets
  ) + 0.5) / 100, null)
}

output "idle_cost_usd_per_month" {
  description = "Estimate of what functions and state cost while nobody asks: the sweeper's calls and its requests. The state itself is empty after its retention. `null` for a cron schedule. `idle_cost_explained` says what is not in it."
  value       = local.idle_cost
}

output "idle_cost_explained" {
  description = "How `idle_cost_usd_per_month` is computed, and what costs besides."
  value = join(" ", compact([
    "Sweeper: ${local.sweeps_per_month == null ? "an unknown number of" : format("%.0f", local.sweeps_per_month)} calls a month, each 1 request, ${local.idle_sweep.seconds} s of ${var.sweep.memory_mb} MB, ${local.idle_sweep.lists} LIST and ${local.idle_sweep.gets} GETs (list prices of us-east-1, x86_64; an estimate).",
    "Storage: 0 when the retention of ${var.retention_days.records} days is over.",
    var.alarms.enabled ? "Not in it: alarms, 0.10 each where the account has more than 10." : "",
    var.dashboard ? "Not in it: the dashboard, 3.00 where the account has more than 3." : "",
    var.sweep.enabled ? "Not in it: the metrics OpenTasks and ActiveQueries, 0.30 each where the account has more than 10, and the sweeper's log lines." : "",
    var.bucket_request_metrics ? "Not in it: request metrics of the bucket, 0.30 each." : "",
    local.has_fargate_gateway ? "Not in it: the load balancer (from some 16.00) and ${var.gateway_fargate.tasks} gateway tasks, which run all the time." : "",
    local.least_fargate_workers > 0 ? "Not in it: ${local.least_fargate_workers} workers on Fargate, which run all the time." : "",
    local.makes_vpc && length(local.interface_endpoints) > 0 ? "Not in it: ${length(local.interface_endpoints)} interface endpoints in 2 zones, some ${format("%.0f", length(local.interface_endpoints) * 2 * 7.3)}.00 (0.01 an hour each); network.assign_public_ip avoids them." : "",
    var.kms_key_arn != null ? "Not in it: requests to KMS." : "",
  ]))
}
