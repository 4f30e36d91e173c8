# Every validation of every variable refuses what it should. Terraform tells all wrong variables of a run at once, so a
# run has one wrong value of each of many variables, and no run stands for a theme.
mock_provider "aws" { source = "./tests/mocks" }

variables {
  package_dir = "tests/package"
}

run "wrong_1" {
  command = plan

  variables {
    pools                = [{ name = "Big", worker_classes = [{}] }]
    name                 = "Dunlin"
    tags                 = { Installation = "x" }
    build                = "1-digit-first"
    architecture         = "riscv"
    previous_builds      = { "live" = { versions = {} } }
    state_bucket_name    = "s3://bucket"
    state_prefix         = ""
    kms_key_arn          = "alias/mine"
    retention_days       = { data = 0 }
    data_buckets         = [{ bucket = "s3://x", prefixes = ["a/"] }]
    tables               = [{ name = "T", location = "s3://a/b/" }, { name = "t", location = "s3://a/c/" }]
    worker_classes       = [{ memory_mb = 64 }]
    fargate_workers      = { image = " " }
    gateway_kind         = "ec2"
    api_keys             = [{ name = "a", sha256 = "dk_secret", scopes = ["query"] }]
    url_auth             = "BASIC"
    gateway_function     = { memory_mb = 100 }
    gateway_fargate      = { image = "x:latest", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/a", allowed_cidrs = ["10.0.0.0/8"] }
    sweep                = { schedule = "every minute" }
    extra_config         = "[state]\nlocation = \"s3://x/y\"\n"
    log_level            = "info; rm"
    container_secrets    = { lower = "arn:aws:ssm:eu-central-1:123456789012:parameter/a" }
    network              = { cidr = "10.0.0.0/8" }
    permissions_boundary = "boundary"
    log_retention_days   = 15
    alarms               = { topic_arn = "topic" }
    most_calls           = 0
    monthly_budget_usd   = 0
    budget_emails        = ["nobody"]
    oidc                 = { issuer = "http://i.example", audience = "dunlin" }
    workgroups           = [{ name = "BI" }]
    oidc_secret          = "too short"
  }

  expect_failures = [
    var.pools,
    var.oidc,
    var.workgroups,
    var.oidc_secret,
    var.name,
    var.tags,
    var.build,
    var.architecture,
    var.previous_builds,
    var.state_bucket_name,
    var.state_prefix,
    var.kms_key_arn,
    var.retention_days,
    var.data_buckets,
    var.tables,
    var.worker_classes,
    var.fargate_workers,
    var.gateway_kind,
    var.api_keys,
    var.url_auth,
    var.gateway_function,
    var.gateway_fargate,
    var.sweep,
    var.extra_config,
    var.log_level,
    var.container_secrets,
    var.network,
    var.permissions_boundary,
    var.log_retention_days,
    var.alarms,
    var.monthly_budget_usd,
    var.most_calls,
    var.budget_emails,
  ]
}

run "wrong_2" {
  command = plan

  variables {
    pools             = [{ name = "a", worker_classes = [{}] }, { name = "a", fargate_workers = { image = "x:1" } }]
    name              = "a23456789-a23456789-a23456789-a23456789-x"
    tags              = { "aws:x" = "x" }
    build             = "live"
    previous_builds   = { "b-1" = { versions = { f = "$LATEST" } } }
    state_bucket_name = "UPPER"
    state_prefix      = "/a"
    retention_days    = { data = 3 }
    data_buckets      = [{ bucket = "lake", prefixes = ["a/"] }, { bucket = "lake", prefixes = ["b/"] }]
    tables            = [{ name = "", location = "s3://a/b/" }]
    worker_classes    = [{ memory_mb = 10241 }]
    fargate_workers   = { image = "x:latest" }
    api_keys          = [{ name = "a", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["root"] }]
    gateway_function  = { ephemeral_storage_mb = 511 }
    gateway_fargate   = { image = "x:1", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/a", allowed_cidrs = ["10.0.0.0/8"], tasks = 0 }
    sweep             = { schedule = "rate(1 minutes)" }
    extra_config      = "[limits]\nttl_ms = 1\n[gateway.limits]\n[[gateway.keys]]\n"
    container_secrets = { DUNLIN_CONFIG = "arn:aws:ssm:eu-central-1:123456789012:parameter/a" }
    network           = { vpc_id = "vpc-1" }
    alarms            = { emails = ["nobody"] }
    budget_emails     = ["a@b.cc", "b@b.cc", "c@b.cc", "d@b.cc", "e@b.cc", "f@b.cc", "g@b.cc", "h@b.cc", "i@b.cc", "j@b.cc", "k@b.cc"]
    oidc              = { issuer = "https://i.example", audience = " " }
    workgroups        = [{ name = "a" }, { name = "a" }]
  }

  expect_failures = [
    var.pools,
    var.oidc,
    var.workgroups,
    var.name,
    var.tags,
    var.build,
    var.previous_builds,
    var.state_bucket_name,
    var.state_prefix,
    var.retention_days,
    var.data_buckets,
    var.tables,
    var.worker_classes,
    var.fargate_workers,
    var.api_keys,
    var.gateway_function,
    var.gateway_fargate,
    var.sweep,
    var.extra_config,
    var.container_secrets,
    var.network,
    var.alarms,
    var.budget_emails,
  ]
}

run "wrong_3" {
  command = plan

  variables {
    pools             = [{ name = "a" }]
    name              = "a--b"
    build             = "a b"
    previous_builds   = { "b-1" = { versions = {}, configs = ["0f"] } }
    state_prefix      = "a/"
    retention_days    = { results = 8 }
    data_buckets      = [{ bucket = "lake", prefixes = [] }]
    tables            = [{ name = "t", location = "/home/t/" }]
    worker_classes    = [{}, {}]
    fargate_workers   = { image = "x:1", min = 3, max = 2 }
    api_keys          = [{ name = "a", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = [] }]
    gateway_function  = { timeout_s = 29 }
    gateway_fargate   = { image = "x:1", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/a", allowed_cidrs = ["10.0.0.0/8"], cpu = 256, memory = 4096 }
    sweep             = { memory_mb = 128 }
    extra_config      = "[tables.params]\ns3_secret = \"x\"\n"
    container_secrets = { A = "the secret itself" }
    network           = { subnet_ids = ["subnet-1"] }
    alarms            = { topic_arn = "arn:aws:sns:eu-central-1:123456789012:t", emails = ["a@example.com"] }
    oidc              = { issuer = "us", audience = "dunlin", jwks_url = "http://i.example/keys" }
    workgroups        = [{ name = "a", max_running = 0 }]
  }

  expect_failures = [
    var.pools,
    var.oidc,
    var.workgroups,
    var.name,
    var.build,
    var.previous_builds,
    var.state_prefix,
    var.retention_days,
    var.data_buckets,
    var.tables,
    var.worker_classes,
    var.fargate_workers,
    var.api_keys,
    var.gateway_function,
    var.gateway_fargate,
    var.sweep,
    var.extra_config,
    var.container_secrets,
    var.network,
    var.alarms,
  ]
}

run "wrong_4" {
  command = plan

  variables {
    pools            = [{ name = "a", from_bytes = 0.5, worker_classes = [{}] }]
    state_prefix     = "a*"
    retention_days   = { data = 1.5 }
    data_buckets     = [{ bucket = "lake", prefixes = ["/a/"] }]
    tables           = [{ name = "t", location = "s3://a/b/", format = "orc" }]
    worker_classes   = [{ copies = 0 }]
    fargate_workers  = { image = "x:1", max = 0 }
    api_keys         = [{ name = "a", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }, { name = "a", sha256 = "1111111111111111111111111111111111111111111111111111111111111111", scopes = ["query"] }]
    gateway_function = { reserved_concurrency = -1 }
    gateway_fargate  = { image = "x:1", certificate_arn = "mine", allowed_cidrs = ["10.0.0.0/8"] }
    extra_config     = "ttl_ms = 1\n"
    oidc             = { issuer = "https://i.example", audience = "dunlin", scopes = ["root"] }
    workgroups       = [{ name = "a", max_queued = 0.5 }]
  }

  expect_failures = [
    var.pools,
    var.oidc,
    var.workgroups,
    var.state_prefix,
    var.retention_days,
    var.data_buckets,
    var.tables,
    var.worker_classes,
    var.fargate_workers,
    var.api_keys,
    var.gateway_function,
    var.gateway_fargate,
    var.extra_config,
  ]
}

run "wrong_5" {
  command = plan

  variables {
    pools           = [{ name = "a", from_bytes = 10, worker_classes = [{}] }, { name = "b", worker_classes = [{}] }, { name = "c", from_bytes = 10, worker_classes = [{}] }]
    data_buckets    = [{ bucket = "lake", prefixes = ["a*/"] }]
    worker_classes  = [{ ephemeral_storage_mb = 100 }]
    fargate_workers = { image = "x:1", cpu = 2048, memory = 2048 }
    api_keys        = [{ name = "a", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }, { name = "b", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
    gateway_fargate = { image = "x:1", allowed_cidrs = ["10.0.0.0/8"] }
    oidc            = { issuer = "https://i.example", audience = "dunlin", workgroup_claim = "" }
    workgroups      = [{ name = "a", ttl_ms = 86400001 }]
  }

  expect_failures = [
    var.pools,
    var.oidc,
    var.workgroups,
    var.data_buckets,
    var.worker_classes,
    var.fargate_workers,
    var.api_keys,
    var.gateway_fargate,
  ]
}

run "wrong_6" {
  command = plan

  variables {
    pools           = [{ name = "a", worker_classes = [{ memory_mb = 64 }] }]
    data_buckets    = [{ bucket = "lake", prefixes = ["a/"], region = "Frankfurt" }]
    worker_classes  = [{ timeout_s = 901 }]
    fargate_workers = { image = "x:1", cpu = 3000 }
    api_keys        = [{ name = "", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
    gateway_fargate = { image = "x:1", allowed_cidrs = ["10.0.0.0/8"], allow_http = true, internal = false }
    oidc            = { issuer = "https://i.example", audience = "dunlin", secret_arn = "the secret itself" }
    workgroups      = [{ name = "a", bytes_per_day = 1.5 }]
  }

  expect_failures = [
    var.pools,
    var.oidc,
    var.workgroups,
    var.data_buckets,
    var.worker_classes,
    var.fargate_workers,
    var.api_keys,
    var.gateway_fargate,
  ]
}

run "wrong_7" {
  command = plan

  variables {
    pools           = [{ name = "a", worker_classes = [{}, {}] }]
    data_buckets    = [{ bucket = "lake", prefixes = ["a/"], kms_key_arn = "alias/x" }]
    writing         = [{ location = "s3://lake/" }]
    worker_classes  = [{ reserved_concurrency = -1 }]
    fargate_workers = { image = "x:1", ephemeral_storage_gb = 10 }
    gateway_fargate = { image = "x:1", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/a", allowed_cidrs = [] }
    workgroups      = [{ name = "a", max_cost_usd = -0.1 }]
  }

  expect_failures = [
    var.pools,
    var.workgroups,
    var.writing,
    var.data_buckets,
    var.worker_classes,
    var.fargate_workers,
    var.gateway_fargate,
  ]
}

run "wrong_8" {
  command = plan

  variables {
    pools           = [{ name = "a", worker_classes = [{ ephemeral_storage_mb = 100 }] }]
    gateway_fargate = { image = "x:1", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/a", allowed_cidrs = ["10.0.0.0/8"], idle_timeout_s = 5000 }
  }

  expect_failures = [
    var.pools,
    var.gateway_fargate,
  ]
}

run "wrong_9" {
  command = plan

  variables {
    pools = [{ name = "a", worker_classes = [{ reserved_concurrency = -1 }] }]
  }

  expect_failures = [
    var.pools,
  ]
}

run "wrong_10" {
  command = plan

  variables {
    pools = [{ name = "a", fargate_workers = { image = "x:latest" } }]
  }

  expect_failures = [
    var.pools,
  ]
}

run "wrong_11" {
  command = plan

  variables {
    pools = [{ name = "a", fargate_workers = { image = "x:1", ephemeral_storage_gb = 10 } }]
  }

  expect_failures = [
    var.pools,
  ]
}

run "wrong_12" {
  command = plan

  variables {
    pools = [{ name = "a", worker_classes = [{ copies = 21 }], from_rows = -1 }]
  }

  expect_failures = [
    var.pools,
  ]
}

run "wrong_13" {
  command = plan

  variables {
    pools = [{ name = "*", worker_classes = [{ timeout_s = 901 }] }]
  }

  expect_failures = [
    var.pools,
  ]
}

run "wrong_14" {
  command = plan

  variables {
    pools = [{ name = "a", from_bytes = 10, from_rows = 10, worker_classes = [{}] }, { name = "b", from_bytes = 10, from_rows = 0, worker_classes = [{}] }]
  }

  expect_failures = [
    var.pools,
  ]
}
