# One function with its log group, its published versions, and one alias for each build.
locals {
  log_group = "/aws/lambda/${var.name}"

  # An alias keeps its address in the state when its build becomes an older one, so an upgrade changes nothing of it.
  # An empty version is the one that is published now.
  aliases = merge(var.previous_versions, { (var.build) = "" })
}

# Before the function: Lambda would make a group that keeps logs for ever.
resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_lambda_function" "this" {
  function_name                  = var.name
  description                    = var.description
  role                           = var.role_arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  filename                       = var.zip
  source_code_hash               = try(filebase64sha256(var.zip), null)
  memory_size                    = var.memory_mb
  timeout                        = var.timeout_s
  reserved_concurrent_executions = coalesce(var.reserved_concurrency, -1)
  publish                        = true
  tags                           = var.tags

  ephemeral_storage {
    size = var.ephemeral_storage_mb
  }

  environment {
    variables = var.environment
  }

  depends_on = [aws_cloudwatch_log_group.this]
}

resource "aws_lambda_alias" "this" {
  for_each = local.aliases

  name             = each.key
  description      = each.value == "" ? "The build that is deployed" : "An older build that still has queries"
  function_name    = aws_lambda_function.this.function_name
  function_version = each.value == "" ? aws_lambda_function.this.version : each.value
}

resource "aws_lambda_function_event_invoke_config" "this" {
  for_each = var.is_called_async ? local.aliases : {}

  function_name                = aws_lambda_function.this.function_name
  qualifier                    = aws_lambda_alias.this[each.key].name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}
