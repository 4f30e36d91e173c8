# Each example can be planned.
mock_provider "aws" { source = "./tests/mocks" }

variables {
  package_dir = "tests/package"
  api_keys    = [{ name = "ci", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", scopes = ["query"] }]
  data_bucket = "lake"
  image       = "example/dunlin:1"
}

run "minimal" {
  command = plan

  module {
    source = "./examples/minimal"
  }
}

run "complete" {
  command = plan

  module {
    source = "./examples/complete"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/a"
    email       = "ops@example.com"
    issuer      = "https://id.example/realms/data"
    oidc_secret = "a secret of tests with 32 bytes."
  }
}

run "existing_vpc" {
  command = plan

  module {
    source = "./examples/existing-vpc"
  }

  variables {
    certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/a"
    vpc_id          = "vpc-1"
    subnet_ids      = ["subnet-1", "subnet-2"]
    route_table_ids = ["rtb-1"]
  }
}

run "lambda_only" {
  command = plan

  module {
    source = "./examples/lambda-only"
  }

  variables {
    state_bucket = "state"
  }
}

run "fargate_spot" {
  command = plan

  module {
    source = "./examples/fargate-spot"
  }
}

run "pools" {
  command = plan

  module {
    source = "./examples/pools"
  }
}
