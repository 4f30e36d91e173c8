# A real apply against a server that imitates AWS (moto): scripts/terraform moto.
terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}

variable "endpoint" {
  description = "The server, on loopback."
  type        = string
}

variable "package_dir" {
  description = "Folder with zips that hold nothing of use."
  type        = string
}

variable "previous_builds" {
  description = "As the module's, for both installations."
  type = map(map(object({
    versions = map(string)
    configs  = optional(list(string), [])
  })))
  default = { dunlin = {}, second = {} }
}

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  # What the server does not know must fail at once.
  max_retries       = 2
  s3_use_path_style = true

  endpoints {
    cloudformation = var.endpoint
    cloudwatch     = var.endpoint
    iam            = var.endpoint
    lambda         = var.endpoint
    logs           = var.endpoint
    s3             = var.endpoint
    scheduler      = var.endpoint
    sns            = var.endpoint
    sts            = var.endpoint
  }
}

module "dunlin" {
  source = "../.."

  package_dir     = var.package_dir
  previous_builds = var.previous_builds.dunlin
  api_keys        = [{ name = "ci", sha256 = sha256("a test"), scopes = ["query"], workgroup = "bi" }]
  oidc            = { issuer = "https://id.example", audience = "dunlin", workgroup_claim = "groups" }
  oidc_secret     = sha256("codes of a test")
  workgroups      = [{ name = "bi", max_running = 10, pool = "big" }]
  pools           = [{ name = "big", from_bytes = 1000000, worker_classes = [{}] }]
  audit           = true

  data_buckets = [{ bucket = "lake", prefixes = ["tables/"] }]
  tables       = [{ name = "lineitem", location = "s3://lake/tables/lineitem/" }]

  # No budget: moto cannot tell a budget's subscribers, so the provider cannot read it back.
  alarms = { emails = ["ops@example.com"] }
}

# A second installation in a bucket that exists already. Its text is longer than a function's environment may be, so it
# goes to the bucket. The first installation could not do that here: moto reads a bucket policy without its conditions,
# and refuses every request for an object of a bucket that takes TLS only.
module "second" {
  source = "../.."

  name            = "second"
  package_dir     = var.package_dir
  previous_builds = var.previous_builds.second
  url_auth        = "AWS_IAM"

  create_state_bucket = false
  state_bucket_name   = "given"

  extra_config = join("\n", concat(["[limits]", "# for ${var.package_dir}"], [for line in range(40) : "# ${line}: this line makes the text longer than 3,000 bytes, with the others of its kind."]))
  alarms       = { enabled = false }
  dashboard    = false
}

output "build_versions" {
  description = "As the module's, of both installations."
  value       = { dunlin = module.dunlin.build_versions, second = module.second.build_versions }
}

output "curl" {
  description = "As the module's."
  value       = module.dunlin.curl
}

output "state_bucket" {
  description = "As the module's."
  value       = module.dunlin.state_bucket
}

output "config" {
  description = "As the module's, of the second installation."
  value       = module.second.config
}
