# The sweeper: the worker's zip once more, called by a schedule with {"sweep": true}.
locals {
  sweeper_name = "${var.name}-sweeper"
  sweeper_s    = 60

  # A sweeper advances queries of its own build only, so each older build keeps its own.
  swept_builds = var.sweep.enabled ? toset(concat([local.build], [
    for build, old in local.previous_builds : build if contains(keys(old.versions), local.sweeper_name)
  ])) : toset([])
}

module "sweeper" {
  source = "./modules/lambda_function"
  count  = var.sweep.enabled ? 1 : 0

  name        = local.sweeper_name
  description = "Dunlin ${var.name}: sweeper"
  role_arn    = aws_iam_role.this["sweeper"].arn

  zip          = local.worker_zip
  architecture = var.architecture
  memory_mb    = var.sweep.memory_mb
  timeout_s    = local.sweeper_s
  environment  = local.environment.worker

  build = local.build
  previous_versions = {
    for build, old in local.previous_builds : build => old.versions[local.sweeper_name] if contains(keys(old.versions), local.sweeper_name)
  }
  is_called_async = true

  log_retention_days = var.log_retention_days
  tags               = local.tags

  depends_on = [aws_iam_role_policy.this, aws_s3_object.config]
}

resource "aws_scheduler_schedule" "sweep" {
  for_each = local.swept_builds

  # Names of schedules have at most 64 characters.
  name                = length("${var.name}-sweep-${each.key}") <= 64 ? "${var.name}-sweep-${each.key}" : "${var.name}-sweep-${substr(sha256(each.key), 0, 12)}"
  description         = "Dunlin ${var.name}: sweeps queries of build ${each.key}"
  schedule_expression = var.sweep.schedule

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = module.sweeper[0].alias_arns[each.key]
    role_arn = aws_iam_role.this["scheduler"].arn
    input    = jsonencode({ sweep = true })

    # The next sweep is the retry.
    retry_policy {
      maximum_retry_attempts       = 0
      maximum_event_age_in_seconds = 60
    }
  }

  depends_on = [aws_iam_role_policy.this]
}
