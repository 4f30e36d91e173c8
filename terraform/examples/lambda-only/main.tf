# Functions only, over a bucket that exists, for clients with AWS credentials: no API keys, no public URL.
provider "aws" {
  region = var.region
}

module "dunlin" {
  source = "../.."

  package_dir = var.package_dir
  url_auth    = "AWS_IAM"

  create_state_bucket = false
  state_bucket_name   = var.state_bucket

  data_buckets = [{ bucket = var.data_bucket, prefixes = ["tables/"] }]
  tables       = [{ name = "lineitem", location = "s3://${var.data_bucket}/tables/lineitem/" }]

  worker_classes = [{ memory_mb = 1769 }, { memory_mb = 3538 }]
  dashboard      = false
}
