# The bucket of the state: records, exchange data, results.
locals {
  # 12 hex digits keep the name within S3's 63 characters.
  state_bucket     = coalesce(var.state_bucket_name, "${var.name}-state-${substr(sha256("${local.account_id}/${local.region}"), 0, 12)}")
  state_bucket_arn = "arn:${local.partition}:s3:::${local.state_bucket}"
  # The same name, but known only when the bucket exists.
  state_bucket_id = var.create_state_bucket ? aws_s3_bucket.state[0].id : local.state_bucket

  # Lifecycle rules match prefixes only, so the protocol gives each kind of retention top-level names.
  expiring_prefixes = merge(
    { data = var.retention_days.data, res = var.retention_days.results },
    { for prefix in ["g", "q", "hb", "use", "idem", "end", "live", "probe"] : prefix => var.retention_days.records },
  )
}

resource "aws_s3_bucket" "state" {
  count = var.create_state_bucket ? 1 : 0

  bucket        = local.state_bucket
  force_destroy = var.force_destroy
  tags          = local.tags
}

resource "aws_s3_bucket_public_access_block" "state" {
  count = var.create_state_bucket ? 1 : 0

  bucket                  = aws_s3_bucket.state[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "state" {
  count = var.create_state_bucket ? 1 : 0

  bucket = aws_s3_bucket.state[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  count = var.create_state_bucket ? 1 : 0

  bucket = aws_s3_bucket.state[0].id

  rule {
    # A bucket key saves nearly all requests to KMS.
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

# Records are written once, and what is deleted must be gone: versions would only cost.
resource "aws_s3_bucket_versioning" "state" {
  count = var.create_state_bucket ? 1 : 0

  bucket = aws_s3_bucket.state[0].id

  versioning_configuration {
    status = "Disabled"
  }
}

resource "aws_s3_bucket_policy" "state" {
  count = var.create_state_bucket ? 1 : 0

  bucket = aws_s3_bucket.state[0].id
  policy = local.state_bucket_policy

  depends_on = [aws_s3_bucket_public_access_block.state]
}

resource "aws_s3_bucket_lifecycle_configuration" "state" {
  count = var.create_state_bucket ? 1 : 0

  bucket = aws_s3_bucket.state[0].id

  rule {
    id     = "abort-multipart"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  dynamic "rule" {
    for_each = local.expiring_prefixes

    content {
      id     = "expire-${rule.key}"
      status = "Enabled"

      filter {
        prefix = "${var.state_prefix}/${rule.key}/"
      }

      expiration {
        days = rule.value
      }
    }
  }
}

resource "aws_s3_bucket_metric" "state" {
  count = var.bucket_request_metrics ? 1 : 0

  bucket = local.state_bucket_id
  name   = "EntireBucket"
}

# --- a bucket that exists already ------------------------------------------------------------------------
data "aws_s3_bucket" "existing" {
  count = !var.create_state_bucket && var.state_bucket_name != null ? 1 : 0

  bucket = var.state_bucket_name

  lifecycle {
    postcondition {
      condition     = self.region == local.region
      error_message = "The state bucket ${var.state_bucket_name} is in ${self.region}, the provider in ${local.region}. Every step of a query waits for the state, and traffic between regions costs: use one region."
    }
  }
}
