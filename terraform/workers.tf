# Worker functions: for each class of memory, one function or several copies.
locals {
  worker_functions = merge([for class in var.worker_classes : {
    for copy in range(1, class.copies + 1) :
    "${var.name}-worker-${class.memory_mb}${copy == 1 ? "" : "-${copy}"}" => class
  }]...)
}

module "worker" {
  source   = "./modules/lambda_function"
  for_each = local.worker_functions

  name        = each.key
  description = "Dunlin ${var.name}: stage worker, ${each.value.memory_mb} MB"
  role_arn    = aws_iam_role.this["worker"].arn

  zip                  = local.worker_zip
  architecture         = var.architecture
  memory_mb            = each.value.memory_mb
  timeout_s            = each.value.timeout_s
  ephemeral_storage_mb = each.value.ephemeral_storage_mb
  reserved_concurrency = each.value.reserved_concurrency
  environment          = local.environment.worker

  build = local.build
  previous_versions = {
    for build, old in local.previous_builds : build => old.versions[each.key] if contains(keys(old.versions), each.key)
  }
  # Callers do not wait for an answer. A lost call costs time only: the sweeper wakes again.
  is_called_async = true

  log_retention_days = var.log_retention_days
  tags               = local.tags

  depends_on = [aws_iam_role_policy.this, aws_s3_object.config]
}
