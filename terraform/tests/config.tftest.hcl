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
    condition     = strcontains(output.config.fargate_worker, "[worker]\nslots = 4\nmemory_bytes = ") && local.pool_bytes.worker < 16384 * 1024 * 1024
    error_message = "A worker on Fargate is told how large it is."
  }
  assert {
    condition     = local.config_bytes.worker == length(output.config.worker) && local.environment.worker.DUNLIN_CONFIG_TOML == output.config.worker && length(aws_s3_object.config) == 0
    error_message = "A short text is in the environment."
  }
}
