# Roles and their policies. The texts are in policies/, and a test of the Rust workspace renders the same files.
#
# Three things look wider than they are:
#   s3:ListBucket without s3:prefix (TellThatAnObjectIsMissing): S3 answers 403 instead of 404 for a missing object
#   unless the caller may list the bucket, and such a request has no s3:prefix. The protocol lives on 404.
#   ecr:GetAuthorizationToken and lambda:GetAccountSettings on "*": these actions know no resource.
locals {
  data_bucket_arns = [for data in var.data_buckets : "arn:${local.partition}:s3:::${data.bucket}"]
  data_object_arns = flatten([for data in var.data_buckets : [
    for prefix in data.prefixes : "arn:${local.partition}:s3:::${data.bucket}/${prefix}*"
  ]])

  # Places that statements write to: s3://BUCKET/PREFIX/.
  write_buckets     = distinct([for place in var.writing : split("/", place.location)[2]])
  write_bucket_arns = [for bucket in local.write_buckets : "arn:${local.partition}:s3:::${bucket}"]
  write_object_arns = [for place in var.writing : "arn:${local.partition}:s3:::${trimprefix(place.location, "s3://")}*"]
  # What the sweeper may do there: commits that say "cancelled", and files that a statement of Dunlin has written.
  write_commit_arns = [for arn in local.write_object_arns : "${arn}_dunlin/*.json"]
  write_file_arns   = [for arn in local.write_object_arns : "${arn}dunlin-*"]

  # Aliases and versions are "NAME:…", so each function has two patterns.
  worker_function_arns = flatten([for name in keys(local.worker_functions) : [
    "${local.function_arn_prefix}:${name}",
    "${local.function_arn_prefix}:${name}:*",
  ]])

  policy_state = {
    state_bucket_arn = local.state_bucket_arn
    state_prefix     = var.state_prefix
  }
  policy_access = merge(local.policy_state, {
    data_bucket_arns     = local.data_bucket_arns
    data_object_arns     = local.data_object_arns
    data_prefixes        = distinct(flatten([for data in var.data_buckets : [for prefix in data.prefixes : "${prefix}*"]]))
    state_kms_key_arns   = compact([var.kms_key_arn])
    data_kms_key_arns    = distinct(compact(var.data_buckets[*].kms_key_arn))
    write_bucket_arns    = local.write_bucket_arns
    write_object_arns    = local.write_object_arns
    write_commit_arns    = local.write_commit_arns
    write_file_arns      = local.write_file_arns
    write_kms_key_arns   = distinct(compact([for data in var.data_buckets : data.kms_key_arn if contains(local.write_buckets, data.bucket)]))
    worker_function_arns = local.worker_function_arns
    account_resources    = length(local.worker_function_arns) > 0 ? ["*"] : []
    # A container's logs are written by the execution role.
    log_group_arns = []
  })

  rendered = {
    worker = templatefile("${path.module}/policies/worker.json.tftpl", merge(local.policy_access, {
      log_group_arns = [for name in keys(local.worker_functions) : "${local.log_group_prefix}:/aws/lambda/${name}:*"]
    }))
    sweeper = templatefile("${path.module}/policies/sweeper.json.tftpl", merge(local.policy_access, {
      log_group_arns = ["${local.log_group_prefix}:/aws/lambda/${local.sweeper_name}:*"]
    }))
    gateway = templatefile("${path.module}/policies/gateway.json.tftpl", merge(local.policy_access, {
      log_group_arns = ["${local.log_group_prefix}:/aws/lambda/${local.gateway_name}:*"]
    }))
    scheduler = templatefile("${path.module}/policies/scheduler.json.tftpl", {
      sweeper_function_arns = ["${local.function_arn_prefix}:${local.sweeper_name}:*"]
    })
    fargate_worker  = templatefile("${path.module}/policies/worker.json.tftpl", local.policy_access)
    fargate_gateway = templatefile("${path.module}/policies/gateway.json.tftpl", local.policy_access)
    execution = templatefile("${path.module}/policies/execution.json.tftpl", {
      registry_login_resources = length(local.repository_arns) > 0 ? ["*"] : []
      repository_arns          = local.repository_arns
      secret_arns              = local.secret_arns
      parameter_arns           = local.parameter_arns
      log_group_arns           = [for name in local.container_log_groups : "${local.log_group_prefix}:${name}:*"]
    })
  }

  # IAM refuses a statement without resources: it says nothing, so it goes.
  policies = { for role, text in local.rendered : role => jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in jsondecode(text).Statement : statement if length(flatten([statement.Resource])) > 0]
  }) }

  state_bucket_policy = jsonencode(jsondecode(templatefile("${path.module}/policies/state_bucket.json.tftpl", local.policy_state)))

  roles = merge(
    length(local.worker_functions) > 0 ? { worker = "lambda.amazonaws.com" } : {},
    var.sweep.enabled ? { sweeper = "lambda.amazonaws.com", scheduler = "scheduler.amazonaws.com" } : {},
    local.has_function_gateway ? { gateway = "lambda.amazonaws.com" } : {},
    local.has_fargate_workers ? { fargate_worker = "ecs-tasks.amazonaws.com" } : {},
    local.has_fargate_gateway ? { fargate_gateway = "ecs-tasks.amazonaws.com" } : {},
    local.has_fargate ? { execution = "ecs-tasks.amazonaws.com" } : {},
  )
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "${var.name}-${replace(each.key, "_", "-")}"
  description          = "Dunlin ${var.name}: ${replace(each.key, "_", " ")}"
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [merge(
      {
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { Service = each.value }
      },
      # Lambda sends no source account when it takes a role; the others do.
      each.value == "lambda.amazonaws.com" ? {} : {
        Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
      },
    )]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = "dunlin"
  role   = aws_iam_role.this[each.key].id
  policy = local.policies[each.key]
}
