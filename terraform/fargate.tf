# Workers on Fargate, from zero, and what they share with a gateway on Fargate.
locals {
  fargate_worker_name = "${var.name}-worker"

  container_log_groups = concat(
    local.has_fargate_workers ? ["/dunlin/${local.fargate_worker_name}"] : [],
    local.has_fargate_gateway ? ["/dunlin/${local.gateway_name}"] : [],
  )

  images = compact([
    local.has_fargate_workers ? var.fargate_workers.image : "",
    local.has_fargate_gateway ? var.gateway_fargate.image : "",
  ])
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
  source = "./modules/fargate_service"
  count  = local.has_fargate_workers ? 1 : 0

  name                 = local.fargate_worker_name
  cluster_name         = aws_ecs_cluster.this[0].name
  cluster_arn          = aws_ecs_cluster.this[0].arn
  image                = var.fargate_workers.image
  architecture         = var.architecture
  cpu                  = var.fargate_workers.cpu
  memory               = var.fargate_workers.memory
  ephemeral_storage_gb = var.fargate_workers.ephemeral_storage_gb
  min                  = var.fargate_workers.min
  max                  = var.fargate_workers.max
  spot                 = var.fargate_workers.spot
  command              = ["worker"]
  container_env        = local.environment.fargate_worker
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
# The sweeper writes Dunlin/OpenTasks through its log, so the metric needs no permission.
locals {
  fargate_max = local.has_fargate_workers ? var.fargate_workers.max : 0
  scaling = {
    # Each step adds workers for as long as there are open tasks: a quarter of the most, a half, all.
    few  = { from = 0, to = 10, add = ceil(local.fargate_max / 4) }
    some = { from = 10, to = 100, add = ceil(local.fargate_max / 2) }
    many = { from = 100, to = null, add = local.fargate_max }
  }
}

resource "aws_appautoscaling_policy" "up" {
  count = local.has_fargate_workers ? 1 : 0

  name               = "${local.fargate_worker_name}-up"
  policy_type        = "StepScaling"
  resource_id        = module.worker_service[0].scaling_resource_id
  scalable_dimension = "ecs:service:DesiredCount"
  service_namespace  = "ecs"

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    dynamic "step_adjustment" {
      for_each = local.scaling

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
  count = local.has_fargate_workers ? 1 : 0

  name               = "${local.fargate_worker_name}-down"
  policy_type        = "StepScaling"
  resource_id        = module.worker_service[0].scaling_resource_id
  scalable_dimension = "ecs:service:DesiredCount"
  service_namespace  = "ecs"

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    step_adjustment {
      metric_interval_upper_bound = 0
      scaling_adjustment          = var.fargate_workers.min
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "open_tasks" {
  count = local.has_fargate_workers ? 1 : 0

  alarm_name          = "${local.fargate_worker_name}-open-tasks"
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
  alarm_actions       = [aws_appautoscaling_policy.up[0].arn]
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "no_tasks" {
  count = local.has_fargate_workers ? 1 : 0

  alarm_name          = "${local.fargate_worker_name}-no-tasks"
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
  alarm_actions      = [aws_appautoscaling_policy.down[0].arn]
  tags               = local.tags
}
