# Every option of an installation on functions.
provider "aws" {
  region = var.region
}

module "dunlin" {
  source = "../.."

  name = "analytics"
  tags = { Team = "data" }

  package_dir     = var.package_dir
  previous_builds = var.previous_builds

  # Clients: a key for a program, and tokens of your issuer for people. The first group that a token names counts.
  api_keys    = var.api_keys
  oidc        = { issuer = var.issuer, audience = "dunlin", workgroup_claim = "groups", name_claim = "email" }
  oidc_secret = var.oidc_secret
  workgroups = [
    { name = "data-engineering" },
    { name = "bi", tables = ["lineitem", "countries"], max_running = 10, max_cost_usd = 0.05, cost_per_day_usd = 20 },
  ]
  audit = true

  # State
  state_prefix           = "q1"
  kms_key_arn            = var.kms_key_arn
  retention_days         = { data = 1, results = 3, records = 14 }
  bucket_request_metrics = true

  # Tables
  data_buckets = [{ bucket = var.data_bucket, prefixes = ["tables/", "landing/csv/"] }]
  tables = [
    { name = "lineitem", location = "s3://${var.data_bucket}/tables/lineitem/" },
    { name = "events", location = "s3://${var.data_bucket}/tables/events/", order = ["day", "amount DESC NULLS LAST"] },
    { name = "countries", location = "s3://${var.data_bucket}/landing/csv/countries.csv", format = "csv" },
  ]

  # Small functions for most stages, large ones for joins
  worker_classes = [
    { memory_mb = 1769, copies = 2 },
    { memory_mb = 5307, ephemeral_storage_mb = 4096 },
    { memory_mb = 10240, ephemeral_storage_mb = 10240, reserved_concurrency = 50 },
  ]
  gateway_function = { memory_mb = 3538 }
  sweep            = { schedule = "rate(2 minutes)" }

  extra_config = <<-TOML
    [engine]
    target_partitions = 32

    [limits]
    no_worker_ms = 60000
  TOML

  # Operation
  log_retention_days = 30
  alarms             = { emails = [var.email] }
  monthly_budget_usd = 100
  budget_emails      = [var.email]
}
