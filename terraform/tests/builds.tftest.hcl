# Upgrades: a new build beside an older one.
mock_provider "aws" { source = "./tests/mocks" }

variables {
  api_keys     = [{ name = "ci", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
  worker_zip   = "tests/package/worker.zip"
  gateway_zip  = "tests/package/gateway.zip"
  build        = "b-old"
  dashboard    = false
  alarms       = { enabled = false }
  extra_config = "[limits]\n${join("\n", [for line in range(60) : "# ${line}: a comment that makes the text longer than the environment of a function may be"])}"
}

# The text is too long for a function's environment, so versions of the older build read it from the bucket.
run "first_build" {
  command = apply

  assert {
    condition     = jsonencode(output.build_versions["b-old"].versions) == jsonencode({ dunlin-sweeper = "7", dunlin-worker-1769 = "7" })
    error_message = "The output names the version of every function that callers invoke by its build."
  }
  assert {
    condition     = toset(output.build_versions["b-old"].configs) == toset([sha256(output.config.worker), sha256(output.config.gateway)]) && toset(keys(aws_s3_object.config)) == toset(output.build_versions["b-old"].configs)
    error_message = "The output names the texts that these versions read."
  }
  assert {
    condition     = aws_s3_object.config[sha256(output.config.worker)].key == "dunlin/config/${sha256(output.config.worker)}.toml" && aws_s3_object.config[sha256(output.config.worker)].content == output.config.worker
    error_message = "The key of a text is its hash."
  }
  assert {
    condition     = jsonencode(local.environment.worker) == jsonencode({ DUNLIN_CONFIG = "s3://${local.state_bucket}/dunlin/config/${sha256(output.config.worker)}.toml", DUNLIN_INSTALLATION = "dunlin", DUNLIN_LOG = "info" })
    error_message = "A long text is not in the environment."
  }
}

run "next_build" {
  command = apply

  variables {
    build           = "b-new"
    extra_config    = ""
    previous_builds = run.first_build.build_versions
  }

  assert {
    condition     = toset(keys(module.worker["dunlin-worker-1769"].alias_arns)) == toset(["b-old", "b-new"]) && toset(keys(module.sweeper[0].alias_arns)) == toset(["b-old", "b-new"])
    error_message = "Workers and sweeper of the older build can still be called."
  }
  assert {
    condition     = toset(keys(aws_scheduler_schedule.sweep)) == toset(["b-old", "b-new"]) && aws_scheduler_schedule.sweep["b-old"].name == "dunlin-sweep-b-old"
    error_message = "Each build is swept."
  }
  assert {
    condition     = toset(keys(aws_s3_object.config)) == toset(output.build_versions["b-old"].configs) && alltrue([for object in aws_s3_object.config : length(object.content) > 3000])
    error_message = "The older build's texts stay as they are; the new build's short text is in the environment."
  }
  assert {
    condition     = local.environment.worker.DUNLIN_CONFIG_TOML == output.config.worker && output.build_versions["b-old"].versions["dunlin-worker-1769"] == "7" && output.build_versions["b-new"].configs == []
    error_message = "The output keeps the older build and names the new one."
  }
}

# Back to the older build: its own entry in previous_builds is not an older build.
run "roll_back" {
  command = plan

  variables {
    build           = "b-old"
    previous_builds = run.next_build.build_versions
  }

  assert {
    condition     = keys(local.previous_builds) == ["b-new"] && toset(keys(output.build_versions)) == toset(["b-new", "b-old"])
    error_message = "After a roll back the newer build is the other one."
  }
}
