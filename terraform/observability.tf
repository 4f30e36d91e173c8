# Dashboard, alarms, budget. Log groups are beside the functions and services that write them.
locals {
  function_names = concat(
    keys(local.worker_functions),
    var.sweep.enabled ? [local.sweeper_name] : [],
    local.has_function_gateway ? [local.gateway_name] : [],
  )

  alarm_topic_arn = var.alarms.topic_arn != null ? var.alarms.topic_arn : try(aws_sns_topic.alarms[0].arn, null)
  alarm_actions   = compact([local.alarm_topic_arn])

  # Errors and throttles of every function that answers calls.
  watched_functions = var.alarms.enabled ? toset(concat(keys(local.worker_functions), local.has_function_gateway ? [local.gateway_name] : [])) : toset([])
}

# --- alarms --------------------------------------------------------------------------------------------------
resource "aws_sns_topic" "alarms" {
  count = var.alarms.enabled && length(var.alarms.emails) > 0 ? 1 : 0

  name = "${var.name}-alarms"
  tags = local.tags
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each = var.alarms.enabled ? toset(var.alarms.emails) : toset([])

  topic_arn = aws_sns_topic.alarms[0].arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = local.watched_functions

  alarm_name          = "${each.key}-errors"
  alarm_description   = "Calls of ${each.key} fail. The function's log tells why."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = each.key }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "throttles" {
  for_each = local.watched_functions

  alarm_name          = "${each.key}-throttles"
  alarm_description   = "Lambda refuses calls of ${each.key}: the account's or the function's concurrency is used up."
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  dimensions          = { FunctionName = each.key }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}

# One failed sweep costs nothing, because the next one repairs it. Three periods in a row do.
resource "aws_cloudwatch_metric_alarm" "sweeper_errors" {
  count = var.alarms.enabled && var.sweep.enabled ? 1 : 0

  alarm_name          = "${local.sweeper_name}-errors"
  alarm_description   = "The sweeper fails again and again: lost calls are not repeated, and old queries do not end."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = local.sweeper_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}

# Only for a schedule of minutes: with a longer one, an hour without a call says nothing.
resource "aws_cloudwatch_metric_alarm" "sweeper_silent" {
  count = var.alarms.enabled && var.sweep.enabled && can(regex("^rate\\(([1-9]|[12][0-9]|30) minutes?\\)$", var.sweep.schedule)) ? 1 : 0

  alarm_name          = "${local.sweeper_name}-silent"
  alarm_description   = "The schedule has not called the sweeper for an hour."
  namespace           = "AWS/Lambda"
  metric_name         = "Invocations"
  dimensions          = { FunctionName = local.sweeper_name }
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = 1
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "load_balancer" {
  for_each = var.alarms.enabled && local.has_fargate_gateway ? {
    unhealthy = { metric = "UnHealthyHostCount", statistic = "Maximum", text = "A gateway does not answer /health." }
    errors    = { metric = "HTTPCode_ELB_5XX_Count", statistic = "Sum", text = "The load balancer answers 5xx: no gateway takes the request." }
  } : {}

  alarm_name        = "${local.gateway_name}-${each.key}"
  alarm_description = each.value.text
  namespace         = "AWS/ApplicationELB"
  metric_name       = each.value.metric
  dimensions = merge(
    { LoadBalancer = aws_lb.gateway[0].arn_suffix },
    each.key == "unhealthy" ? { TargetGroup = aws_lb_target_group.gateway[0].arn_suffix } : {},
  )
  statistic           = each.value.statistic
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}

# --- dashboard -----------------------------------------------------------------------------------------------
locals {
  function_graphs = {
    Invocations          = "Sum"
    Errors               = "Sum"
    Throttles            = "Sum"
    Duration             = "p95"
    ConcurrentExecutions = "Maximum"
  }

  graphs = concat(
    [for metric, statistic in local.function_graphs : {
      title   = "${metric} (${statistic})"
      metrics = [for name in local.function_names : ["AWS/Lambda", metric, "FunctionName", name]]
      stat    = statistic
    } if length(local.function_names) > 0],
    var.sweep.enabled ? [{
      title   = "Open tasks, active queries (Maximum)"
      metrics = [for metric in ["OpenTasks", "ActiveQueries"] : ["Dunlin", metric, "Installation", var.name]]
      stat    = "Maximum"
    }] : [],
    local.has_fargate_workers ? [{
      title   = "Workers on Fargate: CPU (Average)"
      metrics = [for service in values(local.fargate_services) : ["AWS/ECS", "CPUUtilization", "ClusterName", var.name, "ServiceName", service.name]]
      stat    = "Average"
    }] : [],
    var.bucket_request_metrics ? [{
      title = "Requests of the state bucket (Sum)"
      metrics = [for metric in ["GetRequests", "PutRequests", "ListRequests", "DeleteRequests", "4xxErrors", "5xxErrors"] :
      ["AWS/S3", metric, "BucketName", local.state_bucket, "FilterId", "EntireBucket"]]
      stat = "Sum"
    }] : [],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for index, graph in local.graphs : {
      type   = "metric"
      x      = index % 2 * 12
      y      = floor(index / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = graph.title
        region  = local.region
        view    = "timeSeries"
        period  = 60
        stat    = graph.stat
        metrics = graph.metrics
      }
    }]
  })
}

# --- budget --------------------------------------------------------------------------------------------------
resource "aws_budgets_budget" "this" {
  count = var.monthly_budget_usd == null ? 0 : 1

  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  tags         = local.tags

  dynamic "cost_filter" {
    for_each = var.budget_by_tag ? [var.name] : []

    content {
      name   = "TagKeyValue"
      values = [format("user:Installation$%s", cost_filter.value)]
    }
  }

  notification {
    comparison_operator        = "GREATER_THAN"
    notification_type          = "ACTUAL"
    threshold                  = 80
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = var.budget_emails
  }

  notification {
    comparison_operator        = "GREATER_THAN"
    notification_type          = "FORECASTED"
    threshold                  = 100
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = var.budget_emails
  }
}
