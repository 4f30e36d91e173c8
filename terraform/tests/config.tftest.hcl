# The text of dunlin.toml.
mock_provider "aws" { source = "./tests/mocks" }

variables {
  package_dir = "tests/package"
  api_keys = [
    { name = "the \"CI\"", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] },
    { name = "ops", sha256 = "1111111111111111111111111111111111111111111111111111111111111111", scopes = ["admin", "query"] },
  ]
  state_bucket_name = "state"
  data_buckets      = [{ bucket = "lake", prefixes = ["t/"] }, { bucket = "far", prefixes = ["t/"], region = "us-east-1" }]
  tables = [
    { name = "a", location = "s3://lake/t/a/" },
    { name = "b", location = "s3://far/t/b.csv", format = "csv", order = ["day", "amount DESC NULLS LAST"] },
  ]
  writing         = [{ location = "s3://far/t/made/", tables = true }, { location = "s3://lake/t/out/" }]
  worker_classes  = [{ memory_mb = 1769, copies = 2 }, { memory_mb = 10240 }]
  most_calls      = 64
  fargate_workers = { image = "example/dunlin:1", cpu = 4096, memory = 16384 }
  network         = { assign_public_ip = true }
  extra_config    = "[limits]\nno_worker_ms = 1000\n"
}

run "text" {
  command = plan

  assert {
    condition     = output.config.worker == <<-TOML
      [state]
      location = "s3://state/dunlin"
      [state.params]
      s3_region = "eu-central-1"
      [[tables]]
      name = "a"
      location = "s3://lake/t/a/"
      params = { s3_region = "eu-central-1" }
      [[tables]]
      name = "b"
      location = "s3://far/t/b.csv"
      format = "csv"
      order = ["day","amount DESC NULLS LAST"]
      params = { s3_region = "us-east-1" }
      [[writing]]
      location = "s3://far/t/made/"
      tables = true
      params = { s3_region = "us-east-1" }
      [[writing]]
      location = "s3://lake/t/out/"
      tables = false
      params = { s3_region = "eu-central-1" }
      [functions]
      region = "eu-central-1"
      most_calls = 64
      [[functions.class]]
      memory_mb = 1769
      names = ["dunlin-worker-1769","dunlin-worker-1769-2"]
      [[functions.class]]
      memory_mb = 10240
      names = ["dunlin-worker-10240"]
      [limits]
      no_worker_ms = 1000
    TOML
    error_message = "A worker is told the state, the tables and the functions, and no keys."
  }
  assert {
    condition     = output.config.gateway == replace(output.config.worker, "[limits]", "[[gateway.keys]]\nname = \"the \\\"CI\\\"\"\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\nscopes = [\"query\"]\n[[gateway.keys]]\nname = \"ops\"\nsha256 = \"1111111111111111111111111111111111111111111111111111111111111111\"\nscopes = [\"admin\",\"query\"]\n[limits]")
    error_message = "A gateway is told the keys as well."
  }
  assert {
    condition     = strcontains(output.config.fargate_worker, "[worker]\nslots = 4\nmemory_bytes = ") && local.fargate_services["(none)"].bytes < 16384 * 1024 * 1024
    error_message = "A worker on Fargate is told how large it is."
  }
  assert {
    condition     = local.config_bytes.worker == length(output.config.worker) && local.environment.worker.DUNLIN_CONFIG_TOML == output.config.worker && length(aws_s3_object.config) == 0
    error_message = "A short text is in the environment."
  }
}

# Who the clients are, and what they may use. A value of each kind, and a group without any.
run "clients" {
  command = plan

  variables {
    api_keys = [{ name = "dashboards", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"], workgroup = "bi" }]
    oidc = {
      issuer          = "https://id.example/realms/data"
      audience        = "dunlin"
      jwks_url        = "https://id.example/keys"
      workgroup_claim = "realm_access.roles"
      scopes_claim    = "scope"
      name_claim      = "email"
    }
    oidc_secret = "a secret of tests with 32 bytes."
    workgroups = [
      { name = "bi", tables = ["sales_*", "a \"b\""], max_running = 10, max_queued = 0, queue_ms = 60000, ttl_ms = 3600000, max_bytes_scanned = 10000000000000, max_cost_usd = 0.0000001, bytes_per_day = 9007199254740991, cost_per_day_usd = 20 },
      { name = "others", tables = [], pool = "night" },
      { name = "operators" },
    ]
    audit        = true
    extra_config = "[[routing.pools]]\nname = \"night\"\n[gateway]\ndrain_ms = 1000\n"
  }

  assert {
    condition     = trimprefix(output.config.gateway, trimsuffix(output.config.worker, "[[routing.pools]]\nname = \"night\"\n[gateway]\ndrain_ms = 1000\n")) == <<-TOML
      [[gateway.keys]]
      name = "dashboards"
      sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
      scopes = ["query"]
      workgroup = "bi"
      [gateway.oidc]
      issuer = "https://id.example/realms/data"
      audience = "dunlin"
      jwks_url = "https://id.example/keys"
      workgroup_claim = "realm_access.roles"
      scopes_claim = "scope"
      scopes = ["query"]
      name_claim = "email"
      secret = "$${secrets:DUNLIN_OIDC_SECRET}"
      [[gateway.workgroups]]
      name = "bi"
      tables = ["sales_*","a \"b\""]
      max_running = 10
      max_queued = 0
      queue_ms = 60000
      ttl_ms = 3600000
      max_bytes_scanned = 10000000000000
      max_cost_usd = 0.0000001
      bytes_per_day = 9007199254740991
      cost_per_day_usd = 20
      [[gateway.workgroups]]
      name = "others"
      tables = []
      pool = "night"
      [[gateway.workgroups]]
      name = "operators"
      [[routing.pools]]
      name = "night"
      [gateway]
      drain_ms = 1000
    TOML
    error_message = "A gateway is told keys, issuer and groups, and the name of the secret instead of the secret."
  }
  assert {
    condition     = { for part, variables in local.environment : part => lookup(variables, "DUNLIN__GATEWAY__AUDIT", "off") } == { worker = "off", gateway = "true", fargate_worker = "off", fargate_gateway = "true" }
    error_message = "Gateways write down what clients do, also where extra_config has a section [gateway]."
  }
  assert {
    condition     = nonsensitive(local.function_secrets.DUNLIN_OIDC_SECRET) == "a secret of tests with 32 bytes." && length(local.gateway_secrets) == 0
    error_message = "A gateway that is a function has the secret of codes in its environment."
  }
}
