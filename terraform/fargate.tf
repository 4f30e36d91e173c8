# Workers on Fargate, from zero, and what they share with a gateway on Fargate.
locals {
  # One service for the workers that are in no pool, and one for each pool.
  fargate_given = merge(
    var.fargate_workers == null ? {} : { (local.no_pool) = var.fargate_workers },
    { for pool in var.pools : pool.name => pool.fargate_workers if pool.fargate_workers != null },
  )
  # What a pool does not say is as in fargate_workers, or has the same default. A guard looks at what comes of it.
  fargate_sizes = { for pool, given in local.fargate_given : pool => {
    image                = try(coalesce(given.image, try(var.fargate_workers.image, null)), "")
    min                  = coalesce(given.min, try(var.fargate_workers.min, null), 0)
    max                  = coalesce(given.max, try(var.fargate_workers.max, null), 10)
    cpu                  = coalesce(given.cpu, try(var.fargate_workers.cpu, null), 2048)
    memory               = coalesce(given.memory, try(var.fargate_workers.memory, null), 8192)
    ephemeral_storage_gb = try(coalesce(given.ephemeral_storage_gb, try(var.fargate_workers.ephemeral_storage_gb, null)), null)
    spot                 = coalesce(given.spot, try(var.fargate_workers.spot, null), true)
  } }
  fargate_services = { for pool, sizes in local.fargate_sizes : pool => merge(sizes, {
    name    = pool == local.no_pool ? "${var.name}-worker" : "${var.name}-worker-${pool}"
    part    = pool == local.no_pool ? "fargate_worker" : "fargate_worker/${pool}"
    command = pool == local.no_pool ? ["worker"] : ["worker", "--pool=${pool}"]
    bytes   = floor((sizes.memory - 300) * 1024 * 1024 / 7) * 6
  }) }

  container_log_groups = concat(
    [for service in values(local.fargate_services) : "/dunlin/${service.name}"],
    local.has_fargate_gateway ? ["/dunlin/${local.gateway_name}"] : [],
  )

  images = compact(concat(
    [for service in values(local.fargate_services) : service.image],
    [local.has_fargate_gateway ? var.gateway_fargate.image : ""],
  ))
  # Of images in ECR: account, region, domain, repository.
  ecr_images = [for image in local.images :
    regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)", image)
    if can(regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)", image))
  ]
  repository_arns = distinct([for image in local.ecr_images : "arn:${local.partition}:ecr:${image[1]}:${image[0]}:repository/${image[2]}"])

  # What no worker is given.
  gateway_secrets = local.has_fargate_gateway && try(var.oidc.secret_arn, null) != null ? { (local.oidc_variable) = var.oidc.secret_arn } : {}

  # A secret's ARN may be followed by a JSON key, a stage and a version; permissions name the secret only.
  container_secret_arns = concat(values(var.container_secrets), values(local.gateway_secrets))
  secret_arns           = distinct([for arn in local.container_secret_arns : join(":", slice(split(":", arn), 0, 7)) if strcontains(arn, ":secretsmanager:")])
  parameter_arns        = distinct([for arn in local.container_secret_arns : arn if strcontains(arn, ":ssm:")])
}

resource "aws_ecs_cluster" "this" {
  count = local.has_fargate ? 1 : 0

  name = var.name
  tags = local.tags
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  count = local.has_fargate ? 1 : 0

  cluster_name       = aws_ecs_cluster.this[0].name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

module "worker_service" {
  source   = "./modules/fargate_service"
  for_each = local.fargate_services

  name                 = each.value.name
  cluster_name         = aws_ecs_cluster.this[0].name
  cluster_arn          = aws_ecs_cluster.this[0].arn
  image                = each.value.image
  architecture         = var.architecture
  cpu                  = each.value.cpu
  memory               = each.value.memory
  ephemeral_storage_gb = each.value.ephemeral_storage_gb
  min                  = each.value.min
  max                  = each.value.max
  spot                 = each.value.spot
  command              = each.value.command
  container_env        = local.environment[each.value.part]
  secrets              = var.container_secrets
  # A worker that is asked to stop gives its tasks back.
  stop_timeout_s = 60

  task_role_arn      = aws_iam_role.this["fargate_worker"].arn
  execution_role_arn = aws_iam_role.this["execution"].arn
  subnet_ids         = local.task_subnet_ids
  security_group_ids = [aws_security_group.worker[0].id]
  assign_public_ip   = var.network.assign_public_ip

  log_retention_days = var.log_retention_days
  tags               = local.tags

  depends_on = [aws_iam_role_policy.this, aws_s3_object.config, aws_ecs_cluster_capacity_providers.this]
}

# --- scaling by open tasks -----------------------------------------------------------------------------------
# The sweeper writes Dunlin/OpenTasks through its log, so the metric needs no permission. It counts the tasks of all pools
# together, so each service starts and stops with all of them.
locals {
  # Each step adds workers for as long as there are open tasks: a quarter of the most, a half, all.
  scaling = { for pool, service in local.fargate_services : pool => {
    few  = { from = 0, to = 10, add = ceil(service.max / 4) }
    some = { from = 10, to = 100, add = ceil(service.max / 2) }
    many = { from = 100, to = null, add = service.max }
  } }
}

resource "aws_appautoscaling_policy" "up" {
  for_each = local.fargate_services

  name               = "${each.value.name}-up"
  policy_type        = "StepScaling"
  resource_id        = module.worker_service[each.key].scaling_resource_id
  scalable_dimension = "ecs:service:DesiredCount"
  service_namespace  = "ecs"

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    dynamic "step_adjustment" {
      for_each = local.scaling[each.key]

      content {
        # Bounds count from the alarm's threshold, which is 0.
        metric_interval_lower_bound = step_adjustment.value.from
        metric_interval_upper_bound = step_adjustment.value.to
        scaling_adjustment          = step_adjustment.value.add
      }
    }
  }
}

resource "aws_appautoscaling_policy" "down" {
  for_each = local.fargate_services

  name               = "${each.value.name}-down"
  policy_type        = "StepScaling"
  resource_id        = module.worker_service[each.key].scaling_resource_id
  scalable_dimension = "ecs:service:DesiredCount"
  service_namespace  = "ecs"

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    step_adjustment {
      metric_interval_upper_bound = 0
      scaling_adjustment          = each.value.min
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "open_tasks" {
  for_each = local.fargate_services

  alarm_name          = "${each.value.name}-open-tasks"
  alarm_description   = "Tasks are open: workers start."
  namespace           = "Dunlin"
  metric_name         = "OpenTasks"
  dimensions          = { Installation = var.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.up[each.key].arn]
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "no_tasks" {
  for_each = local.fargate_services

  alarm_name          = "${each.value.name}-no-tasks"
  alarm_description   = "No task has been open for 10 minutes: workers stop."
  namespace           = "Dunlin"
  metric_name         = "OpenTasks"
  dimensions          = { Installation = var.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 10
  comparison_operator = "LessThanOrEqualToThreshold"
  threshold           = 0
  # Workers that nobody measures must not run for ever.
  treat_missing_data = "breaching"
  alarm_actions      = [aws_appautoscaling_policy.down[each.key].arn]
  tags               = local.tags
}

# There was one service, without a pool.
moved {
  from = module.worker_service[0]
  to   = module.worker_service["(none)"]
}

moved {
  from = aws_appautoscaling_policy.up[0]
  to   = aws_appautoscaling_policy.up["(none)"]
}

moved {
  from = aws_appautoscaling_policy.down[0]
  to   = aws_appautoscaling_policy.down["(none)"]
}

moved {
  from = aws_cloudwatch_metric_alarm.open_tasks[0]
  to   = aws_cloudwatch_metric_alarm.open_tasks["(none)"]
}

moved {
  from = aws_cloudwatch_metric_alarm.no_tasks[0]
  to   = aws_cloudwatch_metric_alarm.no_tasks["(none)"]
}
