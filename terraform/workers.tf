# Worker functions: for each class of memory, one function or several copies. Those of a pool have its name in theirs.
locals {
  # What stands for a pool where workers are in none. No pool can have this name.
  no_pool = "(none)"

  function_classes = concat(
    [for class in var.worker_classes : merge(class, { pool = local.no_pool, prefix = "${var.name}-worker" })],
    flatten([for pool in var.pools : [
      for class in pool.worker_classes : merge(class, { pool = pool.name, prefix = "${var.name}-worker-${pool.name}" })
    ]]),
  )
  worker_functions = merge([for class in local.function_classes : {
    for copy in range(1, class.copies + 1) :
    "${class.prefix}-${class.memory_mb}${copy == 1 ? "" : "-${copy}"}" => class
  }]...)

  # All have the same text. A variable says the pool, because extra_config may have a section [worker] of its own.
  function_environment = { for name, function in local.worker_functions : name => merge(
    local.environment.worker, function.pool == local.no_pool ? {} : { DUNLIN__WORKER__POOL = function.pool },
  ) }
}

module "worker" {
  source   = "./modules/lambda_function"
  for_each = local.worker_functions

  name        = each.key
  description = "Dunlin ${var.name}: stage worker${each.value.pool == local.no_pool ? "" : " of the pool ${each.value.pool}"}, ${each.value.memory_mb} MB"
  role_arn    = aws_iam_role.this["worker"].arn

  zip                  = local.worker_zip
  architecture         = var.architecture
  memory_mb            = each.value.memory_mb
  timeout_s            = each.value.timeout_s
  ephemeral_storage_mb = each.value.ephemeral_storage_mb
  reserved_concurrency = each.value.reserved_concurrency
  environment          = local.function_environment[each.key]

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
